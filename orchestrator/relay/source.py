"""The database that is lent: a storage URL in; real connections, and what their driver means, out."""

from __future__ import annotations

import os
import socket
from collections import deque
from contextlib import suppress
from threading import Event, Lock
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from orchestrator.errors import StorageError
from orchestrator.relay.client import LentConnection
from orchestrator.relay.dialects import lendable
from orchestrator.sql.driver import BUSY_SQLITE_S, way_to
from orchestrator.storage_url import masked, relay_file, sqlite_path

_OF_A_POOL = ("pool_size", "max_overflow", "pool_recycle", "pool_pre_ping")
_STANDARD = (
    "OperationalError",
    "ProgrammingError",
    "IntegrityError",
    "DataError",
    "InternalError",
    "NotSupportedError",
    "InterfaceError",
    "DatabaseError",
    "Error",
)
_FULL_MYSQL = (1040, 1203, 1226)  # too many connections: of all, of the account, by its own limits
_NOTES = ("sqlite_errorcode", "sqlite_errorname")


class Source:
    """Opens connections as ``orchestrator.sql.driver`` would for this process; used by all lenders."""

    def __init__(self, url: str) -> None:
        if url.startswith("sqlite") and sqlite_path(url) is None:
            raise StorageError(f"Storage '{masked(url)}' is a database in memory, which cannot be lent.")
        way = way_to(url)
        arguments = {name: value for name, value in way.arguments.items() if name not in _OF_A_POOL}
        self._engine = sa.create_engine(way.url, poolclass=sa.pool.NullPool, **arguments)
        self.dialect = lendable(f"{self._engine.dialect.name}+{self._engine.dialect.driver}")
        self.is_borrowed = relay_file(url) is not None
        self.is_sqlite_file = self.dialect.startswith("sqlite") and not self.is_borrowed
        self.writers = Queue()  # SQLite has one writer at a time, and lets the others poll

    def open(self) -> RealConnection:
        """A new connection; raises what the driver does."""
        return RealConnection(self, self._engine.raw_connection())

    def is_disconnect(self, error: BaseException, connection: Any) -> bool:
        """Whether an error says that the connection is of no use any more."""
        errors = self._engine.dialect.loaded_dbapi.Error
        return isinstance(error, errors) and self._engine.dialect.is_disconnect(error, connection, None)

    def is_full(self, error: BaseException) -> bool:
        """Whether :meth:`open` has failed because the server has enough connections."""
        args = _cause(error).args
        return bool(args) and args[0] in _FULL_MYSQL


class RealConnection:
    """One connection of the real driver, used by one thread; only :meth:`interrupt` is for others."""

    def __init__(self, source: Source, opened: Any) -> None:
        self._source = source
        self._opened = opened
        self.driver: Any = opened.dbapi_connection
        self._wait_s: float | None = None
        self._socket = _socket_of(self.driver)

    def run(self, statement: str, parameters: Any, is_many: bool) -> list[Any]:
        """Description, number of rows, last key and rows of a statement."""
        cursor = self.driver.cursor()
        try:
            if is_many:
                cursor.executemany(statement, [_set_of(*one) for one in parameters])
            elif parameters == [None, None]:
                cursor.execute(statement)
            else:
                cursor.execute(statement, _set_of(*parameters))
            found = cursor.description
            rows = [] if found is None else cursor.fetchall()
            described = None if found is None else [list(column)[:7] for column in found]
            return [described, cursor.rowcount, cursor.lastrowid, rows]
        finally:
            with suppress(Exception):
                cursor.close()

    def limit_waiting(self, wait_s: float) -> None:
        """Let no statement wait for a lock longer than the client waits for its answer."""
        if wait_s == self._wait_s:
            return
        self._wait_s = wait_s
        if isinstance(self.driver, LentConnection):
            self.driver.wait_s = wait_s
        elif self._source.dialect.startswith("mysql"):
            self._do(f"SET SESSION innodb_lock_wait_timeout = {max(1, int(wait_s * 2 / 3))}")
        else:
            self._do(f"PRAGMA busy_timeout = {int(min(wait_s * 2 / 3, BUSY_SQLITE_S) * 1000)}")

    def _do(self, statement: str) -> None:
        cursor = self.driver.cursor()
        cursor.execute(statement)
        cursor.close()

    def interrupt(self) -> None:
        """Make the statement at hand fail, with the connection where that is the only way."""
        with suppress(Exception):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)
            else:
                self.driver.interrupt()

    def is_lost_by(self, error: BaseException) -> bool:
        """Whether an error has cost the connection."""
        return self._source.is_disconnect(error, self.driver)

    def close(self) -> None:
        """Close it; what was not committed is undone."""
        with suppress(Exception):
            self._opened.invalidate()
        if self._socket is not None:
            self._socket.close()


def _socket_of(driver: Any) -> socket.socket | None:
    """The socket of a connection of MySQL's drivers, by a descriptor of our own: it stays what it is.

    mysqlclient tells its own only to the thread that uses it, and closes it when it likes.
    """
    if hasattr(driver, "interrupt"):  # SQLite's, and a borrowed one
        return None
    number = driver.fileno() if hasattr(driver, "fileno") else driver._sock.fileno()
    return socket.socket(fileno=os.dup(number))


def _set_of(names: list[str] | None, values: list[Any]) -> Any:
    return tuple(values) if names is None else dict(zip(names, values, strict=True))


def _cause(error: BaseException) -> BaseException:
    """What the driver itself has raised."""
    return error.orig if isinstance(error, exc.DBAPIError) and error.orig is not None else error


def as_message(error: BaseException) -> list[Any]:
    """What a driver, or opening a connection, has raised, for the other side."""
    cause = _cause(error)
    names = [kind.__name__ for kind in type(cause).__mro__]
    name = next((name for name in names if name in _STANDARD), "OperationalError")
    plain = [one if isinstance(one, int | float | str | bytes | None) else str(one) for one in cause.args]
    notes = [[note, getattr(cause, note)] for note in _NOTES if hasattr(cause, note)]
    return ["error", name, plain, notes]


class Queue:
    """A lock that goes to whoever has waited for it longest."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._is_taken = False
        self._waiting: deque[Event] = deque()

    def enter(self, wait_s: float) -> bool:
        """Take it within so many seconds; False: not."""
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return True
            mine = Event()
            self._waiting.append(mine)
        if mine.wait(wait_s):
            return True
        with self._lock:
            if mine.is_set():
                return True
            self._waiting.remove(mine)
            return False

    def leave(self) -> None:
        """Hand it on."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._is_taken = False
