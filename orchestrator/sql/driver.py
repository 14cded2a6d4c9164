"""The way to a database: a storage URL in; the URL and arguments of SQLAlchemy's engine out."""

from __future__ import annotations

import ctypes
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from orchestrator.sql.network_fs import network_file_system
from orchestrator.sql.option_file import read_options
from orchestrator.sql.tls import driver_arguments, require_cipher, tls_of, without_tls
from orchestrator.storage_url import option_file, relay_file, sqlite_path

_CONNECT_TIMEOUT_S = 10
# A server that says nothing for so long is lost, although its machine has not said goodbye. It is the longest
# limit: orchestrator.sql.waiting sets shorter ones.
SILENCE_S = 300
BUSY_SQLITE_S = 60
MYSQL_OR_LENT = ("mysql", "mariadb", "relay")  # how URLs begin behind which MySQL or MariaDB may be
_ONE_CONNECTION = {"pool_size": 1, "max_overflow": 1}  # Optuna needs a second one while it creates tables


@dataclass(frozen=True, slots=True)
class Way:
    """What ``sqlalchemy.create_engine`` is called with; ``url`` holds the password."""

    url: str
    arguments: dict[str, Any]


def way_to(url: str, writes: bool = True) -> Way:
    """The way to the database of ``url``, on one connection.

    With ``writes`` off a SQLite file keeps its journal as it is. What another process lends comes as that has
    opened it; where nobody lends it now, that is a passing ``StorageError``. A URL that makes no sense raises
    what SQLAlchemy raises, or ``StorageError``.
    """
    if url.startswith("sqlite"):
        return Way(url, _of_sqlite(url, writes))
    lent = relay_file(url)
    if lent is not None:
        return _by_relay(lent)
    way = _to_mysql(url) if url.startswith(("mysql", "mariadb")) else _to_another(url)
    load_driver(way.url)
    return way


def engine_of(url: str, writes: bool = True) -> sa.Engine:
    """An engine on that way, as ``way_to`` describes it."""
    way = way_to(url, writes)
    return sa.create_engine(way.url, **way.arguments)


def _to_mysql(url: str) -> Way:
    """MariaDB by SQLAlchemy's MySQL dialect, text as utf8mb4, timeouts, option files and TLS."""
    parsed = sa.make_url(url)
    parsed = parsed.set(drivername=parsed.drivername.replace("mariadb", "mysql", 1))
    file, group = option_file(url), parsed.query.get("read_default_group")
    tls = tls_of(parsed.query, read_options(file, str(group) if group else None) if file else {})
    query = {"charset": "utf8mb4", **_timeouts(parsed), **without_tls(parsed.query)}
    arguments: dict[str, Any] = {"connect_args": driver_arguments(parsed.get_driver_name(), tls)}
    if tls.is_required:
        arguments["pool_events"] = [(require_cipher, "connect")]
    # One picture for a read of several statements, and locks on what a statement selects to insert: whatever
    # the server's default is.
    arguments["isolation_level"] = "REPEATABLE READ"
    # No ping before each use: a connection that is gone is noticed by the first statement, which is repeated.
    arguments |= {**_ONE_CONNECTION, "pool_recycle": 3600, "pool_pre_ping": False}
    return Way(parsed.set(query=query).render_as_string(hide_password=False), arguments)


def _by_relay(file: Path) -> Way:
    from orchestrator.relay.dialects import engine_url  # with it all dialects that can be lent

    way = Way(engine_url(file), {**_ONE_CONNECTION, "pool_pre_ping": False})
    load_driver(way.url)
    return way


def _to_another(url: str) -> Way:
    return Way(url, {"connect_args": {"connect_timeout": _CONNECT_TIMEOUT_S}, **_ONE_CONNECTION})


def greeted_in_time(engine: sa.Engine) -> None:
    """Wait for a server's first words as long as for the connection, which pymysql alone does not.

    It waits for them as for the slowest statement, and a firewall or a port of something else is silent.
    """
    if engine.dialect.driver == "pymysql":
        sa.event.listen(engine, "do_connect", _connect_pymysql)


def _connect_pymysql(dialect: Any, _record: Any, arguments: Any, named: dict[str, Any]) -> Any:
    connection = dialect.loaded_dbapi.connect(*arguments, **named, defer_connect=True)
    limit_s, connection._read_timeout = connection._read_timeout, connection.connect_timeout
    began_s = time.monotonic()
    try:
        connection.connect()
    except dialect.loaded_dbapi.OperationalError as error:
        if error.args[0] == 2013 and time.monotonic() - began_s > connection.connect_timeout * 0.9:
            where = f"'{connection.host}' (no greeting within {connection.connect_timeout} s)"
            raise type(error)(2003, f"Can't connect to MySQL server on {where}") from None
        raise
    connection._read_timeout = limit_s
    return connection


def load_driver(url: str) -> None:
    """Import the driver of a URL so that it uses the OpenSSL it was built for.

    TensorFlow shows the functions of its own BoringSSL to every library that is loaded after it. A driver
    bound to those dies of a segmentation fault, or refuses good certificates, once a connection is encrypted.
    """
    with _own_libraries_first():
        sa.make_url(url).get_dialect().import_dbapi()


@contextmanager
def _own_libraries_first() -> Iterator[None]:
    """What is imported within finds its functions in the libraries it was linked with before all others.

    A preloaded allocator (jemalloc, tcmalloc) must stay before libc's own, so nothing is changed with one.
    """
    process = ctypes.CDLL(None)  # what its libraries show to each other
    if (
        not hasattr(os, "RTLD_DEEPBIND")
        or not hasattr(process, "SSL_CTX_new")
        or _address(process.malloc) != _address(ctypes.CDLL("libc.so.6").malloc)
    ):
        yield
        return
    flags = sys.getdlopenflags()
    sys.setdlopenflags(flags | os.RTLD_DEEPBIND)
    try:
        yield
    finally:
        sys.setdlopenflags(flags)


def _address(function: Any) -> int | None:
    return ctypes.cast(function, ctypes.c_void_p).value


def _timeouts(parsed: sa.URL) -> dict[str, str]:
    if parsed.get_driver_name() not in ("mysqldb", "pymysql"):
        return {}
    return {
        "connect_timeout": str(_CONNECT_TIMEOUT_S),
        "read_timeout": str(SILENCE_S),
        "write_timeout": str(SILENCE_S),
    }


def _of_sqlite(url: str, writes: bool) -> dict[str, Any]:
    path = sqlite_path(url)
    if path is None:
        return {"poolclass": sa.pool.StaticPool, "connect_args": {"check_same_thread": False}}
    arguments: dict[str, Any] = {"connect_args": {"timeout": BUSY_SQLITE_S}, **_ONE_CONNECTION}
    if writes:
        journal = _rollback_journal if network_file_system(path) else _write_ahead
        arguments["pool_events"] = [(journal, "connect")]
    return arguments


def _write_ahead(connection: Any, _record: Any) -> None:
    """Readers and the writer do not block each other. A process crash loses nothing; a power cut may lose the
    last moments (``synchronous=NORMAL``), whose trials are then run again.
    """
    with suppress(sqlite3.OperationalError):  # a file that we may only read
        connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _rollback_journal(connection: Any, _record: Any) -> None:
    """For network file systems: the write-ahead log lives in shared memory, which they do not give
    (https://sqlite.org/wal.html). The older journal asks only for locks; it flushes before a commit is done.
    """
    with suppress(sqlite3.OperationalError):
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != "delete":
            connection.execute("PRAGMA journal_mode=DELETE")
    connection.execute("PRAGMA synchronous=FULL")
