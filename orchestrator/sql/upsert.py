"""Rows that may be there already: a table, rows and their key in; one statement for any dialect out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

Row = Mapping[str, Any]


def upsert(
    c: sa.Connection, table: sa.Table, rows: Sequence[Row], key: Sequence[str], keep: bool = False
) -> None:
    """Insert ``rows``; one whose ``key`` is there already overwrites it, or leaves it with ``keep``.

    ``key`` names the columns of a unique index of the table.
    """
    if rows:
        insert = _insert(c.dialect.name, table).values([dict(row) for row in rows])
        c.execute(_over_what_is_there(c.dialect.name, insert, table, list(rows[0]), key, keep))


def upsert_while(
    c: sa.Connection,
    guard: sa.Select[Any],
    guarded: Mapping[str, Any],
    table: sa.Table,
    rows: Sequence[Row],
    key: tuple[str, ...],
    keep: bool = False,
) -> bool:
    """The same while ``guard`` selects one row; False, and nothing written, when it selects none.

    ``guard`` is one object for all calls, with the parameters ``guarded``: the statement is built once.
    """
    statement = _guarded(c.dialect.name, guard, table, tuple(rows[0]), len(rows), key, keep)
    values = {f"{name}_{place}": value for place, row in enumerate(rows) for name, value in row.items()}
    counts = {"preserve_rowcount": True}  # psycopg forgets the count of an INSERT when the cursor is closed
    return c.execute(statement, {**values, **guarded}, execution_options=counts).rowcount > 0


@lru_cache
def _guarded(
    dialect: str,
    guard: sa.Select[Any],
    table: sa.Table,
    columns: tuple[str, ...],
    n_rows: int,
    key: tuple[str, ...],
    keep: bool,
) -> Any:
    """``INSERT … SELECT`` of so many rows of parameters, named by column and place."""
    selects = []
    for place in range(n_rows):
        bound = [sa.bindparam(f"{name}_{place}", type_=table.c[name].type) for name in columns]
        # PostgreSQL takes an untyped expression for text.
        typed = [sa.cast(value, value.type) for value in bound] if dialect == "postgresql" else bound
        selects.append(guard.with_only_columns(*typed))
    selected = sa.union_all(*selects) if n_rows > 1 else selects[0]
    insert = _insert(dialect, table).from_select(columns, selected)
    return _over_what_is_there(dialect, insert, table, columns, key, keep)


def _insert(dialect: str, table: sa.Table) -> Any:
    dialects = {"mysql": mysql.insert, "sqlite": sqlite.insert, "postgresql": postgresql.insert}
    return dialects[dialect](table)


def _over_what_is_there(
    dialect: str, insert: Any, table: sa.Table, columns: Sequence[str], key: Sequence[str], keep: bool
) -> Any:
    """With ``keep`` a key column is set to itself: that changes nothing, and still counts as a row."""
    new = insert.inserted if dialect == "mysql" else insert.excluded
    again = {key[0]: table.c[key[0]]} if keep else {name: new[name] for name in columns if name not in key}
    if dialect == "mysql":
        return insert.on_duplicate_key_update(again)
    return insert.on_conflict_do_update(index_elements=list(key), set_=again)
