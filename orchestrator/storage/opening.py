"""Opening a database: a storage URL in; the database with its tables out, or one line on what is wrong."""

from __future__ import annotations

import random
import re
import sqlite3
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import optuna
import sqlalchemy as sa
from optuna.storages import RDBStorage
from sqlalchemy import exc

from orchestrator.errors import StorageError
from orchestrator.storage import schema
from orchestrator.storage.database import Database, said
from orchestrator.storage.url import masked, scrubbed, sqlite_path

T = TypeVar("T")

_CONNECT_TIMEOUT_S = 10
_BUSY_SQLITE_S = 60
_CREATION_S = 30.0


def open_database(url: str, creates: bool = True) -> Database:
    """Connect, create Optuna's tables and ours where they are missing.

    With ``creates`` off, which is for reading, nothing is created and no right to do so is needed. Raises
    ``StorageError`` in one line, with the URL masked, when that is not possible.
    """
    rdb = _explained(url, lambda: _with_tables(url) if creates else _connected(url, creates=False))
    _prepare_sqlite(url, rdb.engine)
    return Database(url, rdb.engine)


def _connected(url: str, creates: bool) -> RDBStorage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return RDBStorage(
            _driver_url(url), engine_kwargs=_engine_arguments(url), skip_table_creation=not creates
        )


def _with_tables(url: str) -> RDBStorage:
    """Optuna's storage once its tables and ours are there; many processes may create them at once."""
    deadline = time.monotonic() + _CREATION_S
    while True:
        try:
            rdb = _connected(url, creates=True)
            schema.nano_tables.create_all(rdb.engine)
        except (exc.DBAPIError, optuna.exceptions.StorageInternalError) as error:
            if not _is_made_meanwhile(error) or time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.05, 0.5))
        else:
            return rdb


def _is_made_meanwhile(error: BaseException) -> bool:
    """Whether somebody else has just created the table, or the row about its version, that we meant to."""
    text = str(error.__cause__ or error).lower()
    return any(sign in text for sign in ("already exists", "unique constraint", "duplicate", "is locked"))


def study_directions(url: str, study_name: str) -> tuple[str, ...] | None:
    """The directions of a study, or None when the database has none of that name. Creates nothing."""
    studies, directions = schema.studies, schema.study_directions
    query = (
        sa.select(directions.c.direction)
        .join(studies, studies.c.study_id == directions.c.study_id)
        .where(studies.c.study_name == study_name)
        .order_by(directions.c.objective)
    )
    return tuple(direction.name.lower() for direction in _look(url, query)) or None


def study_names(url: str) -> list[str]:
    """The names of all studies in a database. Creates nothing."""
    return _look(url, sa.select(schema.studies.c.study_name))


def collation_trap(url: str) -> str | None:
    """One line where the database takes different parameters for one, and would not store the second.

    MySQL's and MariaDB's default collations ignore case and accents, and every name is compared by them.
    """
    if not url.startswith(("mysql", "mariadb")):
        return None
    of_names = (
        "SELECT COALESCE((SELECT collation_name FROM information_schema.columns "
        "WHERE table_schema = DATABASE() AND table_name = 'trial_params' AND column_name = 'param_name'), "
        "@@collation_database), DATABASE()"
    )
    collation, database = _asked(url, lambda c: tuple(c.exec_driver_sql(of_names).one()))
    if collation.startswith("utf8") and collation.endswith("_bin"):
        return None
    made = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    return (
        f"database '{database}' compares names by {collation}, which takes some different names for one: "
        f"of two parameters P and p the second would not be stored. Better create it with {made}."
    )


def _look(url: str, query: sa.Select[Any]) -> list[Any]:
    """The first column of a query, without creating tables or the file of an SQLite database."""
    path = sqlite_path(url)
    if path is not None and not path.exists():
        return []

    def ask(connection: sa.Connection) -> list[Any]:
        has_studies = sa.inspect(connection).has_table("studies")
        return list(connection.execute(query).scalars()) if has_studies else []

    return _asked(url, ask)


def _asked(url: str, ask: Callable[[sa.Connection], T]) -> T:
    """What ``ask`` finds on a connection that is opened for it alone."""
    plain = _driver_url(url).format()
    engine = _explained(url, lambda: sa.create_engine(plain, **_engine_arguments(url)))

    def connected() -> T:
        with engine.connect() as connection:
            return ask(connection)

    try:
        return _explained(url, connected)
    finally:
        engine.dispose()


def require_folder(url: str) -> None:
    """Refuse an SQLite file whose folder is missing, before anything else is written."""
    path = sqlite_path(url)
    if path is not None and not path.parent.is_dir():
        raise StorageError(f"SQLite file {path}: there is no folder {path.parent}; create it first.")


def _driver_url(url: str) -> str:
    """The URL as SQLAlchemy and Optuna want it: MariaDB by its MySQL dialect, text as utf8mb4."""
    if url.startswith("mariadb"):
        url = "mysql" + url.removeprefix("mariadb")
    if url.startswith("mysql") and "charset=" not in url:
        url += ("&" if "?" in url else "?") + "charset=utf8mb4"
    return url.replace("{", "{{").replace("}", "}}")  # Optuna takes a URL for a template


def _engine_arguments(url: str) -> dict[str, Any]:
    if url.startswith("sqlite"):
        if sqlite_path(url) is None:
            shared = {"check_same_thread": False}
            return {"poolclass": sa.pool.StaticPool, "connect_args": shared}
        return {"connect_args": {"timeout": _BUSY_SQLITE_S}}
    # No ping before each use: a connection that is gone is noticed by the first statement, which is repeated.
    pool = {"pool_recycle": 3600, "pool_pre_ping": False}
    return {"connect_args": {"connect_timeout": _CONNECT_TIMEOUT_S}, **pool}


def _prepare_sqlite(url: str, engine: sa.Engine) -> None:
    """Write-ahead log: readers and the writer do not block each other. A process crash loses nothing;
    a power cut may lose the last moments (``synchronous=NORMAL``), whose trials are then run again.
    """
    if sqlite_path(url) is None:
        return

    def set_pragmas(connection: Any, _record: Any) -> None:
        with suppress(sqlite3.OperationalError):  # a file that we may only read
            connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    sa.event.listen(engine, "connect", set_pragmas)
    engine.dispose()  # so that the connection made above gets them too


def _explained(url: str, action: Callable[[], T]) -> T:
    """Run ``action``; turn what a database or its driver says into one line."""
    try:
        return action()
    except ImportError as error:
        raise StorageError(f"Storage {masked(url)} needs a driver: {_driver_hint(url)}.") from error
    except ValueError:  # its text may repeat any part of the URL
        raise StorageError(
            f"Storage {masked(url)} is no URL of a database: see host, port and options."
        ) from None
    except (exc.SQLAlchemyError, optuna.exceptions.OptunaError, RuntimeError, TypeError) as error:
        said_safely = scrubbed(said(error), url)
        raise StorageError(
            f"Storage {masked(url)} cannot be used: {said_safely}{_socket_hint(url)}"
        ) from None


def _socket_hint(url: str) -> str:
    """MySQL's client library takes the host «localhost» for the default socket and ignores the port."""
    if not re.match(r"(mysql|mariadb)(\+mysqldb)?://([^/?]*@)?localhost:\d+", url):
        return ""
    return (
        ". 'localhost' means the default socket whatever the port; write 127.0.0.1, or add ?unix_socket=FILE"
    )


def _driver_hint(url: str) -> str:
    if url.startswith(("mysql", "mariadb")):
        return "pip install 'nano-hpo[mysql]' (mysqlclient; on Debian with libmariadb-dev and pkg-config)"
    if url.startswith("postgresql"):
        return "pip install 'psycopg[binary]' (or psycopg2-binary, with postgresql+psycopg2://…)"
    return "see SQLAlchemy's dialects"
