"""Opening a database: a storage URL in; the database with its tables out, or one line on what is wrong."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from orchestrator.errors import StorageError
from orchestrator.sql.database import Database
from orchestrator.sql.driver import engine_of
from orchestrator.sql.explaining import explained
from orchestrator.sql.patience import Patience
from orchestrator.sql.tables import with_tables_made, with_tables_there
from orchestrator.storage_url import sqlite_path

T = TypeVar("T")


def open_database(url: str, patience: Patience | None = None, *, creates: bool = True) -> Database:
    """Connect, create Optuna's tables and ours where they are missing; ``patience`` is for what comes after.

    With ``creates`` off, which is for reading, nothing is created and no right to do so is needed; only
    tables that an earlier version of ours has made get the columns that came since. Raises ``StorageError``
    in one line, with the URL masked, when that is not possible.
    """
    engine = explained(url, lambda: with_tables_made(url) if creates else with_tables_there(url))
    return Database(url, engine, patience)


def rejoin_database(url: str, patience: Patience) -> Database:
    """Open a database that is known to be in order, on a single connection from the beginning.

    The patience covers this as well: the server may be restarting, or be full of workers like us. Raises
    ``StorageError``.
    """
    database = Database(url, explained(url, lambda: engine_of(url)), patience)
    explained(url, lambda: database.read(lambda c: c.execute(sa.select(1)).scalar()))
    return database


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


def require_folder(url: str) -> None:
    """Refuse an SQLite file whose folder is missing, before anything else is written."""
    path = sqlite_path(url)
    if path is not None and not path.parent.is_dir():
        raise StorageError(f"SQLite file {path}: there is no folder {path.parent}; create it first.")
