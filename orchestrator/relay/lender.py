"""One real connection and its thread: transactions of clients in, one after the other; their answers out."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any

from orchestrator.relay.door import Guest
from orchestrator.relay.source import RealConnection, Source, as_message
from orchestrator.relay.wire import LinkLost

log = logging.getLogger("nano_hpo")

_WRITES = "BEGIN IMMEDIATE"
# Until the client has heard that its transaction is undone, it must not begin another one in the midst of it.
_UNDONE = ["error", "OperationalError", [2013, "Lost connection to the database: undone"], []]


class NotSupportedError(Exception):
    """A result holds what cannot travel; named as the driver's error is."""


class Lender:
    """Serves the guest that it is given until his transaction ends; ``is_free`` hears of that.

    The connection is opened when it is needed, closed after ``idle_s`` without a guest, and opened again
    after it was lost. When the server has too many already, ``is_refused`` hears what the guest has asked for
    and says whether somebody else does it; if nobody does, he hears of the refusal. A guest who says nothing
    for ``hang_s`` within a transaction is shown out.
    """

    def __init__(
        self,
        source: Source,
        hang_s: float,
        idle_s: float,
        is_free: Callable[[Lender, Guest], None],
        is_refused: Callable[[Lender, Guest, Any], bool],
    ) -> None:
        self._source = source
        self._hang_s = hang_s
        self._idle_s = idle_s
        self._is_free = is_free
        self._is_refused = is_refused
        self._inbox: SimpleQueue[Guest | None] = SimpleQueue()
        self._lock = Lock()  # over the next two: others may interrupt
        self._guest: Guest | None = None
        self._is_executing = False
        self._connection: RealConnection | None = None
        self._is_open = False  # a transaction; without a connection: it was lost, and is undone
        self._is_writing = False
        self._thread = Thread(target=self._run, name="nano-hpo-lender", daemon=True)
        self._thread.start()

    @property
    def has_connection(self) -> bool:
        """Whether its real connection is open."""
        return self._connection is not None

    def give(self, guest: Guest | None) -> None:
        """Serve this guest; None: it is over."""
        self._inbox.put(guest)

    def interrupt(self, guest: Guest | None = None) -> None:
        """He has gone: what is executed for him (None: for anybody) is in vain."""
        with self._lock:
            if self._is_executing and guest in (None, self._guest) and self._connection is not None:
                self._connection.interrupt()

    def join(self, timeout_s: float) -> None:
        """Wait for its end."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            try:
                guest = self._inbox.get(timeout=self._idle_s)
            except Empty:
                self._drop()
                continue
            if guest is None:
                self._drop()
                return
            self._serve(guest)
            self._is_free(self, guest)

    def _serve(self, guest: Guest) -> None:
        """One transaction, or what there is of it."""
        with self._lock:
            self._guest = guest
        try:
            while not guest.is_gone and self._answer(guest, guest.hear(self._hang_s)):
                pass
        except LinkLost:
            guest.is_gone = True
        except Exception:  # a bug of ours: this guest must not take the others with him
            log.exception("The relay could not serve a client")
            guest.is_gone = True
        finally:
            self._undo()
            with self._lock:
                self._guest = None

    def _answer(self, guest: Guest, request: Any) -> bool:
        """Do what is asked; whether there is more to come before the transaction ends."""
        kind, wait_s, *rest = request
        if kind == "rollback":  # nobody waits for an answer
            return False
        try:
            answer = self._commit() if kind == "commit" else self._execute(wait_s, *rest)
        except Exception as error:
            is_full = self._connection is None and self._source.is_full(error)
            if is_full and self._is_refused(self, guest, request):
                return False
            answer = as_message(error)
            if self._connection is not None and self._connection.is_lost_by(error):
                self._drop()
        try:
            guest.wire.send(answer, self._hang_s)
        except TypeError as error:  # a type that no table of ours has
            guest.wire.send(as_message(NotSupportedError(str(error))), self._hang_s)
        return bool(kind != "commit")

    def _execute(self, wait_s: float, statement: str, parameters: Any, is_many: bool) -> list[Any]:
        if self._is_open and self._connection is None:
            return _UNDONE
        if self._connection is None:
            self._connection = self._source.open()
        if statement == _WRITES and self._source.is_sqlite_file:
            self._begin_writing(wait_s)
        self._is_open = True
        with self._executing():
            self._connection.limit_waiting(wait_s)
            return ["rows", *self._connection.run(statement, parameters, is_many)]

    def _begin_writing(self, wait_s: float) -> None:
        if not self._is_writing and not self._source.writers.enter(wait_s * 2 / 3):
            raise sqlite3.OperationalError("database is locked")
        self._is_writing = True

    def _commit(self) -> list[Any]:
        if self._is_open:
            if self._connection is None:
                return _UNDONE
            with self._executing():
                self._connection.driver.commit()
            self._is_open = False
        return ["done"]

    def _undo(self) -> None:
        """Undo what was not committed, and let the next one write."""
        if self._is_open and self._connection is not None:
            try:
                self._connection.driver.rollback()
            except Exception:
                self._drop()
        self._is_open = False
        if self._is_writing:
            self._is_writing = False
            self._source.writers.leave()

    def _drop(self) -> None:
        """The real connection is lost, or of no use for now."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @contextmanager
    def _executing(self) -> Iterator[None]:
        """In this block others may interrupt."""
        with self._lock:
            self._is_executing = True
        try:
            yield
        finally:
            with self._lock:
                self._is_executing = False
