"""Rows that may be there already: a table, rows and their key in; one statement for any dialect out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

Row = Mapping[str, Any]

_MANY = 200  # rows of one guarded statement: SQLite takes 500 parts of a UNION


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
    counts = {"preserve_rowcount": True}  # psycopg forgets the count of an INSERT when the cursor is closed
    for start in range(0, len(rows), _MANY):
        some = rows[start : start + _MANY]
        statement = _guarded(c.dialect.name, guard, table, tuple(some[0]), len(some), key, keep)
        values = {f"{name}_{place}": value for place, row in enumerate(some) for name, value in row.items()}
        if c.execute(statement, {**values, **guarded}, execution_options=counts).rowcount < 1:
            return False
    return True


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
        if dialect == "postgresql":
            selects.append(_locking(guard, bound))
        else:
            selects.append(guard.with_only_columns(*bound))
    selected = sa.union_all(*selects) if n_rows > 1 else selects[0]
    insert = _insert(dialect, table).from_select(columns, selected)
    return _over_what_is_there(dialect, insert, table, columns, key, keep)


def _locking(guard: sa.Select[Any], values: Sequence[sa.BindParameter[Any]]) -> sa.Select[Any]:
    """PostgreSQL: it takes untyped expressions for text, and locks what is selected only where asked to.

    A UNION may not ask for that; its parts may, in a subquery.
    """
    typed = [sa.cast(value, value.type).label(value.key) for value in values]
    return sa.select(guard.with_only_columns(*typed).with_for_update(read=True).subquery())


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
