"""Databases and studies that the verbs are told of: URLs and names in; open databases out, or one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.sql.database import Database


def named_url(storage: str | None) -> str:
    """The URL of a database that must be there, or may be made."""
    from orchestrator.errors import SpecError
    from orchestrator.storage_url import chosen_url

    url = chosen_url(storage)
    if url is None:
        raise SpecError("Name the storage: --storage URL, or the environment variable NANO_HPO_STORAGE.")
    return url


def stored_study(url: str, name: str | None) -> tuple[str, str]:
    """URL and name of a study that is there; the name may be left out when there is only one."""
    from orchestrator.stored import open_stored

    require_file(url)
    database, url, found = open_stored(url, name)
    database.close()
    return url, found


def require_file(url: str) -> None:
    """Refuse an SQLite file that is not there: opening it would make it."""
    from orchestrator.errors import StorageError
    from orchestrator.storage_url import sqlite_path

    path = sqlite_path(url)
    if path is not None and not path.exists():
        raise StorageError(f"There is no file {path}.")


def require_free(url: str, names: list[str]) -> None:
    """Refuse a name that is taken before anything is created."""
    from orchestrator.errors import StudyError
    from orchestrator.sql.asking import study_names
    from orchestrator.sql.opening import require_folder
    from orchestrator.storage_url import masked

    require_folder(url)
    there = sorted(set(names) & set(study_names(url)))
    if there:
        raise StudyError(
            f"There is a study '{there[0]}' in {masked(url)} already; --as NEW gives this one another name."
        )


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """A database that is there; nothing is created in it."""
    from orchestrator.sql.opening import open_database

    require_file(url)
    with _closing(url, open_database(url, creates=False)) as database:
        yield database


@contextmanager
def made(url: str) -> Iterator[Database]:
    """A database with its tables, created where they are missing."""
    from orchestrator.sql.advice import collation_trap
    from orchestrator.sql.opening import open_database

    trap = collation_trap(url)
    if trap is not None:
        print(f"nano-hpo: Warning: {trap}", file=sys.stderr)
    with _closing(url, open_database(url)) as database:
        yield database


@contextmanager
def _closing(url: str, database: Database) -> Iterator[Database]:
    """What the database says when it refuses something is one line."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy import exc

    from orchestrator.errors import StorageError
    from orchestrator.sql.failures import said
    from orchestrator.storage_url import masked, scrubbed

    try:
        yield database
    except (exc.SQLAlchemyError, StorageInternalError) as error:
        raise StorageError(f"Storage {masked(url)}: {scrubbed(said(error), url)}.") from None
    finally:
        database.close()
