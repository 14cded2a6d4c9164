"""Asking a private server: its option files in; connections, databases and counts out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote
from weakref import WeakSet

import sqlalchemy as sa
from sqlalchemy import exc

from orchestrator.errors import StorageError
from orchestrator.server.accounts import OPEN_ACCOUNTS, checked_database, database_sql
from orchestrator.server.files import ServerFiles

T = TypeVar("T")

_CONNECT_TIMEOUT_S = 5
_NOT_THERE = {2002, 2003, 2006, 2013}  # MySQL's client: cannot connect, gone away, lost connection
_SHUTTING_DOWN = 1053


def storage_url(files: ServerFiles, database: str) -> str:
    """The URL of a database on this server: it names the option file and holds no secret."""
    return f"mysql:///{checked_database(database)}?read_default_file={quote(str(files.client))}"


def ask(option_file: Path, work: Callable[[sa.Connection], T]) -> T:
    """What ``work`` finds on a connection of its own, as the user whom the option file names.

    Raises ``DBAPIError`` as the driver says it, and ``StorageError`` where there is no driver.
    """
    url = sa.URL.create("mysql", query={"read_default_file": str(option_file)})
    try:
        engine = sa.create_engine(
            url, poolclass=sa.pool.NullPool, connect_args={"connect_timeout": _CONNECT_TIMEOUT_S}
        )
    except ImportError:
        raise StorageError(
            "A private server needs a driver: pip install 'nano-hpo[mysql]' (mysqlclient; on Debian with "
            "libmariadb-dev and pkg-config)."
        ) from None
    try:
        with engine.connect() as connection:
            return work(connection)
    finally:
        engine.dispose()


def error_code(error: exc.DBAPIError) -> int | None:
    """The number by which server or driver know an error."""
    arguments = getattr(error.orig, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else None


def answers(option_file: Path) -> bool:
    """Whether a server lets us in. Raises ``DBAPIError`` where one answers and refuses."""
    if not option_file.exists():
        return False
    try:
        ask(option_file, lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
    except exc.DBAPIError as error:
        if error_code(error) in _NOT_THERE | {_SHUTTING_DOWN}:
            return False
        raise
    return True


def open_accounts(files: ServerFiles) -> list[str]:
    """The accounts, as ``user@host``, that an installer has made and anybody may log in to; none is right."""
    query = f"SELECT CONCAT(User, '@', Host) {OPEN_ACCOUNTS}"
    return ask(files.admin, lambda connection: [*map(str, connection.exec_driver_sql(query).scalars())])


def create_database(files: ServerFiles, name: str) -> None:
    """Make a database that searches may use; one that is there stays as it is."""

    def make(connection: sa.Connection) -> None:
        for statement in database_sql(name):
            connection.execute(sa.text(statement))  # not the driver's: '%' is a host here

    ask(files.admin, make)


def has_database(files: ServerFiles, name: str) -> bool:
    """Whether searches can use a database of that name."""
    return name in ask(files.client, _databases)


def _databases(connection: sa.Connection) -> list[str]:
    own = "SELECT schema_name FROM information_schema.schemata WHERE schema_name <> 'information_schema'"
    return sorted(str(name) for name in connection.exec_driver_sql(own).scalars())


def studies_by_database(connection: sa.Connection) -> dict[str, int]:
    """How many studies each database of this user holds."""
    counts = dict.fromkeys(_databases(connection), 0)
    found = "SELECT table_schema FROM information_schema.tables WHERE table_name = 'studies'"
    for name in connection.exec_driver_sql(found).scalars().all():
        if name in counts:
            counts[name] = int(
                connection.exec_driver_sql(f"SELECT COUNT(*) FROM `{name}`.studies").scalar_one()
            )
    return counts


def variable(connection: sa.Connection, kind: str, name: str) -> int:
    """A number among the server's STATUS or VARIABLES."""
    row: Any = connection.exec_driver_sql(f"SHOW GLOBAL {kind} LIKE '{name}'").one()
    return int(row[1])


_ours: WeakSet[Any] = WeakSet()  # the driver's connections of this process, while it keeps them


def watch_own_connections() -> None:
    """From now on know the connections that this process opens, whoever opens them."""
    if not sa.event.contains(sa.pool.Pool, "connect", _remember):
        sa.event.listen(sa.pool.Pool, "connect", _remember)


def _remember(connection: Any, _record: Any) -> None:
    if hasattr(connection, "thread_id"):  # a driver of MySQL
        _ours.add(connection)


def foreign_connections(files: ServerFiles) -> int:
    """How many connections other processes have; :func:`watch_own_connections` must have been called."""
    return ask(files.client, _foreign)


def _foreign(connection: sa.Connection) -> int:
    threads = {row[0] for row in connection.exec_driver_sql("SHOW PROCESSLIST")}
    return variable(connection, "STATUS", "Threads_connected") - len(threads & set(_own_threads()))


def _own_threads() -> Iterator[int]:
    for connection in list(_ours):
        with suppress(Exception):  # it is closed; each driver says so in its own way
            yield connection.thread_id()


def shut_down(files: ServerFiles) -> None:
    """Ask the server to end in order, from any machine."""
    ask(files.client, lambda connection: connection.exec_driver_sql("SHUTDOWN"))
