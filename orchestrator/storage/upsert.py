"""Rows that may be there already: a table, rows and their key in; one statement for any dialect out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite


def upsert(
    c: sa.Connection,
    table: sa.Table,
    rows: Sequence[Mapping[str, Any]],
    key: Sequence[str],
    keep: bool = False,
) -> None:
    """Insert ``rows``; one whose ``key`` is there already overwrites it, or leaves it with ``keep``.

    ``key`` names the columns of a unique index of the table.
    """
    if not rows:
        return
    changed = [name for name in rows[0] if name not in key]
    if c.dialect.name == "mysql":
        insert = mysql.insert(table).values(list(rows))
        # Setting a key column to itself changes nothing, where IGNORE would hide other errors too.
        again = {key[0]: table.c[key[0]]} if keep else {name: insert.inserted[name] for name in changed}
        c.execute(insert.on_duplicate_key_update(again))
        return
    dialect = sqlite if c.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(table).values(list(rows))
    if keep:
        c.execute(statement.on_conflict_do_nothing(index_elements=key))
    else:
        again = {name: statement.excluded[name] for name in changed}
        c.execute(statement.on_conflict_do_update(index_elements=key, set_=again))
