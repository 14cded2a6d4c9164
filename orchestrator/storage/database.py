"""One SQL database: a storage URL in; transactions that survive its restarts out."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import optuna
import sqlalchemy as sa
from sqlalchemy import exc

from orchestrator.storage import schema
from orchestrator.storage.url import masked

T = TypeVar("T")

log = logging.getLogger("nano_hpo")

PATIENCE_S = 300.0
HASTE_S = 1.0
_LOG_AT_S = 0.64  # the delay at which an outage is worth a line: about a second after its beginning
# MySQL: deadlock, lock wait, too many connections, gone away, lost connection, shutdown, cannot connect.
_PASSING_MYSQL = {1213, 1205, 1040, 2006, 2013, 1053, 2002, 2003}


class Database:
    """Statements of ours and transactions around them, on at most one connection a process.

    Threads take turns. A process that was forked off opens a connection of its own.

    Each call of :meth:`write` is one transaction, repeated with back-off, for ``PATIENCE_S`` at most, when
    the database says that it was in the way (deadlock, lock, restart). Work that may have been applied before
    its answer was lost is run again as well, so it must recognise itself: claims carry a token, ends check
    the attempt's state.
    """

    def __init__(self, url: str, engine: sa.Engine) -> None:
        self.url = url
        self.engine = engine
        self.gives_up: Callable[[], bool] = lambda: False  # asked before something is repeated
        self._patience_s = PATIENCE_S
        self._turn = threading.RLock()
        self._pid = os.getpid()

    @contextmanager
    def hasty(self) -> Iterator[None]:
        """In this block things are repeated for a moment only: what is in it can be done later as well."""
        before, self._patience_s = self._patience_s, HASTE_S
        try:
            yield
        finally:
            self._patience_s = before

    def write(self, work: Callable[[sa.Connection], T], is_repeatable: bool = True) -> T:
        """Run ``work`` in one transaction and return what it returns.

        With ``is_repeatable`` off it is repeated only while it surely was not applied; a lost answer to its
        commit is a ``StorageInternalError``.
        """
        return self._patiently(lambda: self._write_once(work, is_repeatable))

    def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Run reading ``work`` on one consistent picture and return what it returns; repeated likewise."""
        return self._patiently(lambda: self._read_once(work))

    def _patiently(self, once: Callable[[], T]) -> T:
        deadline = time.monotonic() + self._patience_s
        delay_s = 0.02
        while True:
            try:
                return once()
            except exc.DBAPIError as error:
                if not is_passing(error) or time.monotonic() > deadline or self.gives_up():
                    raise
                if delay_s == _LOG_AT_S:
                    log.warning("The database is in the way (%s); trying again.", said(error))
                time.sleep(delay_s * random.uniform(0.5, 1.5))
                delay_s = min(delay_s * 2, 2.0)

    def _write_once(self, work: Callable[[sa.Connection], T], is_repeatable: bool) -> T:
        with self._turn, self._connection() as connection:
            if self.engine.dialect.name == "sqlite":
                # Take the write lock first: a transaction that reads and then writes cannot wait for it.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            result = work(connection)
            try:
                connection.commit()
            except exc.DBAPIError as error:
                if is_repeatable:
                    raise
                lost = "the answer to a commit was lost; whether it was applied is not known"
                raise optuna.exceptions.StorageInternalError(f"{said(error)}: {lost}") from error
            return result

    def _read_once(self, work: Callable[[sa.Connection], T]) -> T:
        with self._turn, self._connection() as connection:
            if self.engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN")  # else each statement sees a picture of its own
            return work(connection)  # leaving rolls back: there is nothing to commit

    def _connection(self) -> sa.Connection:
        if os.getpid() != self._pid:  # forked: the connection belongs to the parent
            self.engine.dispose(close=False)
            self._pid = os.getpid()
        return self.engine.connect()

    def keeps_runs(self) -> bool:
        """Whether tables of ours are there: a database of plain Optuna has none."""
        return self.read(lambda c: sa.inspect(c).has_table(schema.runs.name))

    def close(self) -> None:
        """Close the connection; the next call opens one."""
        self.engine.dispose()


def is_storage_failure(error: BaseException) -> bool:
    """Whether the study's database failed: not the user's code, nor what that wanted to store.

    An objective may use a database of its own, so the error must have come through this package.
    """
    lost_answer = optuna.exceptions.StorageInternalError
    if not isinstance(error, exc.SQLAlchemyError | lost_answer):
        return False
    if isinstance(error, exc.DataError | exc.IntegrityError | exc.StatementError) and not isinstance(
        error, exc.OperationalError | exc.InterfaceError | exc.InternalError
    ):
        return False
    frames, traceback = [], error.__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame.f_globals.get("__name__", ""))
        traceback = traceback.tb_next
    return any(name.startswith("orchestrator.storage") for name in frames)


def is_passing(error: exc.DBAPIError) -> bool:
    """Whether the same statement may succeed a little later."""
    if error.connection_invalidated:
        return True
    text = str(error.orig)
    code = error.orig.args[0] if error.orig is not None and error.orig.args else None
    return code in _PASSING_MYSQL or "database is locked" in text or "deadlock detected" in text


def said(error: BaseException) -> str:
    """The first line of what a database or its driver said, with passwords masked."""
    cause = getattr(error, "orig", None) or error
    return masked(str(cause).strip().splitlines()[0]) if str(cause).strip() else type(cause).__name__
