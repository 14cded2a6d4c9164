"""One SQL database: a storage URL in; transactions that survive its restarts out."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

import optuna
import sqlalchemy as sa
from sqlalchemy import exc

from orchestrator.sql import schema
from orchestrator.sql.failures import Trouble, said, trouble
from orchestrator.sql.idle import IdleCloser
from orchestrator.sql.patience import Patience
from orchestrator.sql.turns import Turn
from orchestrator.sql.waiting import LASTING, USUAL, Connector, Pace

T = TypeVar("T")

IDLE_S = 300.0  # an objective may train for hours: a server has few connections, and none to lend for that


class Database:
    """Statements of ours and transactions around them, on at most one connection a process.

    Threads take turns. A process that was forked off opens a connection of its own. A connection to a server
    is closed when it was not used for ``IDLE_S``; the next call opens one.

    Each call of :meth:`write` is one transaction, repeated with back-off (``Patience``) when the database
    says that it was in the way (deadlock, lock, restart). Work that may have been applied before its answer
    was lost is run again as well, so it must recognise itself: claims carry a token, ends check the attempt's
    state.

    MySQL and MariaDB work in REPEATABLE READ: it gives :meth:`read` its one picture, and locks what a
    statement selects to insert. Writers lock the row they depend on first, so that their picture is younger
    than the lock. READ COMMITTED would take fewer gap locks, but is refused by servers that log statements
    (error 1665), and gains nothing: 16 writers met no deadlock in 400 trials with either.

    PostgreSQL reads in REPEATABLE READ and writes in READ COMMITTED. Its REPEATABLE READ takes its picture
    before it waits for a lock, so a writer that has waited would not see what it has waited for; in READ
    COMMITTED the next statement does. What a statement selects to insert is locked by ``FOR SHARE``
    (``upsert_while``).
    """

    def __init__(self, url: str, engine: sa.Engine, patience: Patience | None = None) -> None:
        self.url = url
        self.engine = engine
        self._patience = patience or Patience()
        self._pid = os.getpid()
        self._connector = Connector(engine)
        self._turn = Turn()
        self._idle = IdleCloser(IDLE_S, self._turn, engine.dispose)

    @property
    def gives_up(self) -> Callable[[], bool]:
        """Asked before something is repeated: whether to leave it at that."""
        return self._patience.gives_up

    @gives_up.setter
    def gives_up(self, asked: Callable[[], bool]) -> None:
        self._patience.gives_up = asked

    def tell_of_waiting(self, hears: Callable[[bool], None]) -> None:
        """Let ``hears`` be called whenever waiting for the database begins (True) or ends (False)."""
        self._patience.hears_of_waiting = hears

    def hasty(self) -> AbstractContextManager[None]:
        """In this block nothing waits for more than a few seconds: what is in it can be done later as well.

        A statement fails after ``waiting.HASTY``, and is repeated for a moment only.
        """
        return self._patience.hasty()

    def write(self, work: Callable[[sa.Connection], T], is_repeatable: bool = True) -> T:
        """Run ``work`` in one transaction and return what it returns.

        With ``is_repeatable`` off it is repeated only while it surely was not applied; a lost answer to its
        commit is a ``StorageInternalError``.
        """
        return self._patience.keep_trying(lambda pace: self._write_once(work, is_repeatable, pace))

    def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Run reading ``work`` on one consistent picture and return what it returns; repeated likewise."""
        return self._patience.keep_trying(lambda pace: self._read_once(work, pace))

    def _write_once(self, work: Callable[[sa.Connection], T], is_repeatable: bool, pace: Pace) -> T:
        if not is_repeatable and pace is USUAL:
            pace = LASTING  # there is no second try for a slow answer
        with self._turn, self._connection(pace) as connection:
            if self._is_sqlite:
                # Take the write lock first: a transaction that reads and then writes cannot wait for it.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            result = work(connection)
            try:
                connection.commit()
            except exc.DBAPIError as error:
                if is_repeatable or trouble(error) is Trouble.BUSY:  # busy: it surely was not applied
                    raise
                lost = "the answer to a commit was lost; whether it was applied is not known"
                raise optuna.exceptions.StorageInternalError(f"{said(error)}: {lost}") from error
            return result

    def _read_once(self, work: Callable[[sa.Connection], T], pace: Pace) -> T:
        with self._turn, self._connection(pace, reads=True) as connection:
            if self._is_sqlite:
                connection.exec_driver_sql("BEGIN")  # else each statement sees a picture of its own
            return work(connection)  # leaving rolls back: there is nothing to commit

    @property
    def _is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    def _connection(self, pace: Pace, reads: bool = False) -> sa.Connection:
        self._leave_it_to_the_parent()
        if not self._is_sqlite:
            self._idle.used()
        return self._connector.connect(pace, reads)

    def _leave_it_to_the_parent(self) -> None:
        """After a fork the connection belongs to the parent, which would lose it if it were closed here."""
        if os.getpid() != self._pid:
            self.engine.dispose(close=False)
            self._pid = os.getpid()

    def keeps_runs(self) -> bool:
        """Whether tables of ours are there: a database of plain Optuna has none."""
        return self.read(lambda c: sa.inspect(c).has_table(schema.runs.name))

    def close(self) -> None:
        """Close the connection; the next call opens one."""
        with self._turn:
            self._leave_it_to_the_parent()
            self._idle.stop()
            self.engine.dispose()


def knowing_itself(work: Callable[[sa.Connection, bool], T]) -> Callable[[sa.Connection], T]:
    """For :meth:`Database.write`: ``work`` hears whether it was tried before: it may have been applied."""
    tried = False

    def tell(connection: sa.Connection) -> T:
        nonlocal tried
        again, tried = tried, True
        return work(connection, again)

    return tell
