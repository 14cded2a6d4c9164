"""A database that is asked without creating anything: a storage URL and a question in; the answer out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa

from orchestrator.sql import schema
from orchestrator.sql.driver import engine_of, greeted_in_time
from orchestrator.sql.explaining import explained
from orchestrator.storage_url import sqlite_path

T = TypeVar("T")


def asked(url: str, ask: Callable[[sa.Connection], T]) -> T:
    """What ``ask`` finds on a connection that is opened for it alone. Raises ``StorageError``."""
    engine = explained(url, lambda: engine_of(url, writes=False))
    greeted_in_time(engine)

    def connected() -> T:
        with engine.connect() as connection:
            return ask(connection)

    try:
        return explained(url, connected)
    finally:
        engine.dispose()


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
