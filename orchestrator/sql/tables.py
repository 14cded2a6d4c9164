"""The tables of a database, Optuna's and ours: a storage URL in; an engine on them, as we need them, out."""

from __future__ import annotations

import itertools
import random
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import optuna
import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects.mysql import DATETIME

from orchestrator.errors import StorageError
from orchestrator.sql import schema
from orchestrator.sql.asking import asked
from orchestrator.sql.driver import engine_of, way_to
from orchestrator.sql.rights import grant_for, lacks_right
from orchestrator.sql.turns import Turn
from orchestrator.storage_url import masked

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

SCHEMA = "v3.2.0.a"  # of Optuna's tables, by its migrations: what the SQL here is written for
OPTUNA_TABLES = (*schema.optuna_tables.tables, "version_info", "alembic_version")
_CREATION_S = 30.0
_creating = Turn()


def with_tables_made(url: str) -> sa.Engine:
    """A database once Optuna's tables and ours are there; many processes may create them at once."""
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
            return rdb.engine


def with_tables_there(url: str) -> sa.Engine:
    """A database that is there, with our own tables as this version reads them.

    Optuna looks at the tables of another version, and says what to do. It takes a quarter of a second to load
    what it does so by, so that those of the usual one are known without it.
    """
    engine = engine_of(url, writes=False)
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


def _is_made_meanwhile(error: exc.DBAPIError) -> bool:
    """Whether somebody else has just created the table, or the row about its version, that we meant to."""
    text = str(error).lower()
    return any(sign in text for sign in ("already exists", "unique constraint", "duplicate", "is locked"))


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
