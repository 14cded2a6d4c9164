"""Opening a database: a storage URL in; the database with its tables out, or one line on what is wrong."""

from __future__ import annotations

import itertools
import random
import re
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import optuna
import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects.mysql import DATETIME

from orchestrator.errors import StorageError
from orchestrator.sql import schema
from orchestrator.sql.database import Database
from orchestrator.sql.driver import greeted_in_time, way_to
from orchestrator.sql.failures import is_passing, said
from orchestrator.sql.patience import Patience
from orchestrator.sql.turns import Turn
from orchestrator.sql.unreachable import way_out
from orchestrator.storage_url import masked, scrubbed, sqlite_path

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

T = TypeVar("T")

SCHEMA = "v3.2.0.a"  # of Optuna's tables, by its migrations: what the SQL here is written for
_CREATION_S = 30.0
_creating = Turn()
_MYSQL_OR_LENT = ("mysql", "mariadb", "relay")
# What Optuna's tables (foreign keys, indexes, its migrations) and ours need.
RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "INDEX", "REFERENCES")
OPTUNA_TABLES = (*schema.optuna_tables.tables, "version_info", "alembic_version")
_HINTS: dict[object, str] = {
    1040: ". See `nano-hpo doctor --storage URL` for its limit",
    1044: ". The account may not use this database: see `nano-hpo db grant`",
    1045: ". See user, password and option file",
    1049: ". Create it: CREATE DATABASE … CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    1226: ". See `nano-hpo doctor --storage URL` for the limits of the account",
}


def open_database(url: str, patience: Patience | None = None, *, creates: bool = True) -> Database:
    """Connect, create Optuna's tables and ours where they are missing; ``patience`` is for what comes after.

    With ``creates`` off, which is for reading, nothing is created and no right to do so is needed; only
    tables that an earlier version of ours has made get the columns that came since. Raises ``StorageError``
    in one line, with the URL masked, when that is not possible.
    """
    engine = _explained(url, lambda: _with_tables(url).engine if creates else _as_it_is(url))
    return Database(url, engine, patience)


def patiently(action: Callable[[], T], patience_s: float) -> T:
    """Do what needs a database that is known to be right, though its server may be starting just now.

    Raises what ``action`` does, a ``StorageError`` that may pass only after so many seconds.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return action()
        except StorageError as error:
            if not error.is_passing or time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(0.2, 1.0))


def rejoin_database(url: str, patience: Patience) -> Database:
    """Open a database that is known to be in order, on a single connection from the beginning.

    The patience covers this as well: the server may be restarting, or be full of workers like us. Raises
    ``StorageError``.
    """
    database = Database(url, _explained(url, lambda: _engine(url)), patience)
    _explained(url, lambda: database.read(lambda c: c.execute(sa.select(1)).scalar()))
    return database


def _engine(url: str, writes: bool = True) -> sa.Engine:
    way = way_to(url, writes)
    return sa.create_engine(way.url, **way.arguments)


def _connected(url: str, creates: bool) -> RDBStorage:
    from optuna.storages import RDBStorage

    way = way_to(url, creates)
    template = way.url.replace("{", "{{").replace("}", "}}")  # Optuna takes a URL for a template
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            return RDBStorage(template, engine_kwargs=way.arguments, skip_table_creation=not creates)
        except optuna.exceptions.StorageInternalError as error:  # it hides what the database said
            raise error.__cause__ or error from None


def _as_it_is(url: str) -> sa.Engine:
    """A database that is there, with our own tables as this version reads them.

    Optuna looks at the tables of another version, and says what to do. It takes a quarter of a second to load
    what it does so by, so that those of the usual one are known without it.
    """
    engine = _engine(url, writes=False)
    if not _is_of_this_version(engine):
        engine.dispose()
        engine = _connected(url, creates=False).engine
    try:
        _add_columns(engine)
    except exc.DBAPIError as error:
        if lacks_right(error):
            raise StorageError(_refusal_to_create(url)) from None
        if not _is_made_meanwhile(error):
            raise
    return engine


def _is_of_this_version(engine: sa.Engine) -> bool:
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return False
        return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() == SCHEMA


def _with_tables(url: str) -> RDBStorage:
    """Optuna's storage once its tables and ours are there; many processes may create them at once."""
    deadline = time.monotonic() + _CREATION_S
    while True:
        try:
            with _keeping_all_exactly():
                rdb = _connected(url, creates=True)
                schema.nano_tables.create_all(rdb.engine)
                _add_columns(rdb.engine)
        except exc.DBAPIError as error:
            if lacks_right(error):
                raise StorageError(_refusal_to_create(url)) from None
            if not _is_made_meanwhile(error) or time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.05, 0.5))
        else:
            return rdb


@contextmanager
def _keeping_all_exactly() -> Iterator[None]:
    """Let tables that are created meanwhile on MySQL hold any text, compared byte by byte, and microseconds.

    A database's own default may be latin1, where names of other alphabets cannot be stored. Optuna's dates
    would be kept in whole seconds, and short trials would all last equally long.
    """
    from optuna.storages._rdb.models import BaseModel

    tables = (*BaseModel.metadata.tables.values(), *schema.nano_tables.tables.values())
    texts = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
    with _creating:  # the descriptions of the tables belong to all threads
        columns = [column for table in tables for column in table.columns]
        dates = {column: column.type for column in columns if isinstance(column.type, sa.DateTime)}
        for table in tables:
            table.dialect_kwargs.update(texts)
        for column in dates:
            column.type = sa.DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb")
        try:
            yield
        finally:
            for table, name in itertools.product(tables, texts):
                table.dialect_kwargs.pop(name, None)
            for column, kind in dates.items():
                column.type = kind


def _add_columns(engine: sa.Engine) -> None:
    """Give tables that an earlier version of ours has made the columns that came since; all may be NULL."""
    with engine.begin() as connection:
        quote = connection.dialect.identifier_preparer.format_column
        for table, column in _missing_columns(connection):
            kind = column.type.compile(connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {quote(column)} {kind}")


def _missing_columns(connection: sa.Connection) -> list[tuple[sa.Table, sa.Column[Any]]]:
    found = []
    there = sa.inspect(connection)
    for table in schema.nano_tables.tables.values():
        if there.has_table(table.name):
            known = {column["name"] for column in there.get_columns(table.name)}
            found += [(table, column) for column in table.columns if column.name not in known]
    return found


def lacks_right(error: exc.DBAPIError) -> bool:
    """Whether the account may not do what a statement does: MySQL's "command denied", PostgreSQL's 42501."""
    cause = error.orig
    code = cause.args[0] if cause is not None and cause.args else None
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return code in (1142, 1143, 1370) or state == "42501"


def _refusal_to_create(url: str) -> str:
    """One line for a user who may not create the tables that are missing: who can, and by what."""

    missing, grant = asked(url, lambda c: (missing_tables(c), grant_for(c, url)))
    return (
        f"Storage {masked(url)} lacks {', '.join(missing)}, and this account may not create them. Its "
        f"administrator may run: {grant}; or somebody who has the right runs a search there once."
    )


def missing_tables(connection: sa.Connection) -> list[str]:
    """The tables of Optuna and of ours that a database lacks, and columns of those that are there."""
    there = set(sa.inspect(connection).get_table_names())
    lacking = [name for name in (*OPTUNA_TABLES, *schema.nano_tables.tables) if name not in there]
    return lacking + [f"{table.name}.{column.name}" for table, column in _missing_columns(connection)]


def grant_for(connection: sa.Connection, url: str) -> str:
    """The statement that gives this account the rights to create and use the tables."""
    if not url.startswith(_MYSQL_OR_LENT):
        return "GRANT CREATE ON SCHEMA public TO " + str(connection.exec_driver_sql("SELECT user").scalar())
    account, database = connection.exec_driver_sql("SELECT CURRENT_USER(), DATABASE()").one()
    name, _, host = account.rpartition("@")
    return f"GRANT {', '.join(RIGHTS)} ON `{database}`.* TO '{name}'@'{host}'"


def _is_made_meanwhile(error: exc.DBAPIError) -> bool:
    """Whether somebody else has just created the table, or the row about its version, that we meant to."""
    text = str(error).lower()
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
    """One line where the tables take different parameters for one, and would not store the second.

    MySQL's and MariaDB's default collations ignore case and accents, and every name is compared by them in
    tables that plain Optuna has created there.
    """
    collation, database = asked(url, _collation_of_names) if url.startswith(_MYSQL_OR_LENT) else (None, "")
    if collation is None or (collation.startswith("utf8") and collation.endswith("_bin")):
        return None
    made = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    return (
        f"database '{database}' compares names by {collation}, which takes some different names for one: "
        f"of two parameters P and p the second would not be stored. Better create it with {made}."
    )


def _collation_of_names(c: sa.Connection) -> tuple[str | None, str]:
    """By what parameters are compared, if there is a table of them yet; and the name of the database."""
    if c.dialect.name != "mysql":
        return None, ""
    of_names = (
        "SELECT (SELECT collation_name FROM information_schema.columns "
        "WHERE table_schema = DATABASE() AND table_name = 'trial_params' AND column_name = 'param_name'), "
        "DATABASE()"
    )
    collation, database = c.exec_driver_sql(of_names).one()
    return collation, database


def _look(url: str, query: sa.Select[Any]) -> list[Any]:
    """The first column of a query, without creating tables or the file of an SQLite database."""
    path = sqlite_path(url)
    if path is not None and not path.exists():
        return []

    def ask(connection: sa.Connection) -> list[Any]:
        there = sa.inspect(connection)  # somebody may be creating the tables, one after the other
        is_made = all(there.has_table(table.name) for table in (schema.studies, schema.study_directions))
        return list(connection.execute(query).scalars()) if is_made else []

    return asked(url, ask)


def asked(url: str, ask: Callable[[sa.Connection], T]) -> T:
    """What ``ask`` finds on a connection that is opened for it alone."""
    engine = _explained(url, lambda: _engine(url, writes=False))
    greeted_in_time(engine)

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
    except (exc.SQLAlchemyError, optuna.exceptions.OptunaError, RuntimeError, TypeError, OSError) as error:
        said_safely = scrubbed(said(error), url)
        raise StorageError(
            f"Storage {masked(url)} cannot be used: {said_safely}{_hint(url, error)}",
            is_passing=isinstance(error, exc.DBAPIError) and is_passing(error),
        ) from None


def _hint(url: str, error: BaseException) -> str:
    """The next step, for what people meet most."""
    cause = getattr(error, "orig", None)
    code = cause.args[0] if cause is not None and cause.args else None
    if code in _HINTS:
        return _HINTS[code]
    return (_socket_hint(url) if code in (2002, 2003) else "") or way_out(url, error)


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
