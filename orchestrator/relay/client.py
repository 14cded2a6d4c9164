"""The driver of a borrowed database, by the rules of DB-API 2.0: an address file in; connections out.

Errors are the real driver's own classes with what it said, so that whoever knows that driver knows them.
When the relay itself is lost, that is ``OperationalError`` with MySQL's number for a lost connection
(:func:`is_lost`): it says as much for any database.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

from orchestrator.errors import StorageError
from orchestrator.relay.address import Address, read_address
from orchestrator.relay.handshake import borrow
from orchestrator.relay.peer import require_same_user
from orchestrator.relay.wire import LinkLost, Wire

CONNECT_S = 10.0
_CANNOT_CONNECT, _LOST = 2003, 2013  # MySQL's
_MARK = "_nano_relay_is_lost"


def is_lost(error: BaseException) -> bool:
    """Whether the connection to the relay is gone: whatever it was that the error was about."""
    return bool(getattr(error, _MARK, False))


class Lending:
    """A driver's module, as SQLAlchemy wants it, whose connections are borrowed; all else is the driver's."""

    def __init__(self, driver: ModuleType) -> None:
        self._driver = driver

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    def connect(self, file: str, wait_s: float) -> LentConnection:
        """A connection that is made by its first statement. An answer may take ``wait_s``."""
        return LentConnection(Path(file), self._driver, wait_s)


class LentConnection:
    """A connection to the database behind a relay; one thread at a time.

    It has a real connection from the first statement of a transaction to its commit or rollback. ``wait_s``
    may be changed between transactions.
    """

    def __init__(self, file: Path, driver: ModuleType, wait_s: float) -> None:
        self.wait_s = wait_s
        self._file = file
        self._driver = driver
        self._whose = ""  # relay it is, once that is known
        self._wire: Wire | None = None
        self._is_over = False
        self._is_in_transaction = False

    def cursor(self) -> LentCursor:
        """A new cursor."""
        return LentCursor(self)

    def commit(self) -> None:
        """Commit what was done since the last one."""
        if self._is_in_transaction:
            self._is_in_transaction = False
            self.ask(["commit", self.wait_s])

    def rollback(self) -> None:
        """Undo it. Nobody waits for an answer: a transaction that was lost is undone as well."""
        if not self._is_in_transaction or self._wire is None:
            return
        self._is_in_transaction = False
        try:
            self._wire.send(["rollback", self.wait_s], self.wait_s)
        except LinkLost:
            self._break()

    def close(self) -> None:
        """Hang up; what was not committed is undone."""
        self._is_over = True
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def __del__(self) -> None:
        """As real drivers do: who forgets a connection has closed it."""
        self.close()

    def interrupt(self) -> None:
        """From another thread: what is asked of the relay now fails."""
        wire = self._wire
        if wire is not None:
            wire.hang_up()

    def character_set_name(self) -> str:
        """MySQL's name of what texts travel in."""
        return "utf8mb4"

    def execute(self, statement: str, parameters: Sequence[Any], is_many: bool) -> list[Any]:
        """Run a statement; description, number of rows, last key, rows."""
        request = ["execute", self.wait_s, statement, parameters, is_many]
        self._is_in_transaction = True  # even if it fails: the next rollback says so
        found = self.ask(request)
        assert isinstance(found, list)
        return found

    def ask(self, request: list[Any]) -> Any:
        """What the relay answers; what the real driver has raised there is raised here."""
        if self._is_over:
            raise self._lost(_LOST, "it was lost before")
        if self._wire is None:
            self._connect()
        assert self._wire is not None
        try:
            self._wire.send(request, self.wait_s)
            kind, *said = self._wire.receive(self.wait_s)
        except LinkLost as error:
            self._break()
            raise self._lost(_LOST, str(error)) from None
        except TypeError as error:  # nothing was said
            raise self._driver.ProgrammingError(str(error)) from None
        except BaseException:  # a signal's handler has raised: the answer, if it comes, is nobody's
            self._break()
            raise
        if kind == "error":
            raise self._error(*said)
        return said

    def _connect(self) -> None:
        within_s = min(self.wait_s, CONNECT_S)
        try:
            address = read_address(self._file)
            self._whose = f" of {address.lender}"
            self._wire = _connected(address, within_s)
        except (StorageError, OSError) as error:
            self._break()
            raise self._lost(_CANNOT_CONNECT, str(error)) from None

    def _break(self) -> None:
        self._is_in_transaction = False
        self.close()

    def _lost(self, code: int, why: str) -> Exception:
        text = f"The relay{self._whose} ({self._file}) is lost: {why}"
        error: Exception = self._driver.OperationalError(code, text)
        setattr(error, _MARK, True)
        return error

    def _error(self, name: str, arguments: list[Any], notes: Sequence[tuple[str, Any]]) -> Exception:
        kind = getattr(self._driver, name, self._driver.DatabaseError)
        error: Exception = kind(*arguments)
        for attribute, value in notes:
            with suppress(AttributeError):
                setattr(error, attribute, value)
        return error


def _connected(address: Address, within_s: float) -> Wire:
    if address.socket is not None:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    else:
        link = socket.create_connection((address.host, address.port), within_s)
    try:
        link.settimeout(within_s)
        if address.socket is not None:
            link.connect(address.socket)
            require_same_user(link)
        else:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return Wire(link, borrow(link, address.key))
    except BaseException:
        link.close()
        raise


class LentCursor:
    """A cursor: all rows of a result come with it."""

    arraysize = 1

    def __init__(self, connection: LentConnection) -> None:
        self.connection = connection
        self.description: tuple[tuple[Any, ...], ...] | None = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self._rows: Iterator[list[Any]] = iter(())

    def execute(self, statement: str, parameters: Any = None) -> int:
        """Run one statement; the number of its rows, as MySQL's drivers say it."""
        return self._run(statement, _set_of(parameters), is_many=False)

    def executemany(self, statement: str, parameters: Sequence[Any]) -> int:
        """Run one statement with each of several sets of parameters."""
        return self._run(statement, [_set_of(one) for one in parameters], is_many=True)

    def _run(self, statement: str, parameters: Sequence[Any], is_many: bool) -> int:
        description, self.rowcount, self.lastrowid, rows = self.connection.execute(
            statement, parameters, is_many
        )
        self.description = tuple(map(tuple, description)) if description is not None else None
        self._rows = iter(rows)
        return self.rowcount

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row."""
        row = next(self._rows, None)
        return None if row is None else tuple(row)

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """The next rows."""
        return [*map(tuple, islice(self._rows, self.arraysize if size is None else size))]

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows that are left."""
        return [*map(tuple, self._rows)]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return map(tuple, self._rows)

    def close(self) -> None:
        """Forget the rows."""
        self._rows = iter(())

    def setinputsizes(self, sizes: Any) -> None:
        """Nothing: the driver knows."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Nothing: the driver knows."""


def _set_of(parameters: Any) -> list[Any]:
    """Names (or None) and values of one set of parameters."""
    if parameters is None:
        return [None, None]
    if isinstance(parameters, Mapping):
        return [[*parameters.keys()], [*parameters.values()]]
    return [None, [*parameters]]
