"""A stored study: a URL and a name as people give them in, the open database out."""

from __future__ import annotations

from pathlib import Path

from orchestrator.errors import StudyError
from orchestrator.sql.asking import study_names
from orchestrator.sql.database import Database
from orchestrator.sql.opening import open_database
from orchestrator.storage_url import chosen_url, masked

LAST = "last"  # as a name: the study in which something happened last


def open_stored(storage: str | None, study_name: str | None) -> tuple[Database, str, str]:
    """Database, URL and study name.

    Without a storage, neither named nor in the environment, it is that of the last run of this folder (of
    that study). The name may be missing when the storage holds one study only; ``last`` is the study in
    which a trial began or ended last, unless one has that name.

    Raises ``UserError`` when there is no such study; creates no database and no study.
    """
    url = chosen_url(storage)
    if url is None:
        url, study_name = _of_this_folder(study_name)
    names = study_names(url)
    if study_name is None and len(names) == 1:
        study_name = names[0]
    if study_name == LAST and LAST not in names and names:
        study_name = _last(url)
    if study_name not in names:
        raise _no_such_study(url, study_name, names)
    return open_database(url, creates=False), url, study_name


def _of_this_folder(study_name: str | None) -> tuple[str, str]:
    """URL and study of the last run that was begun here."""
    from orchestrator.here import last_run

    run = last_run(Path.cwd(), None if study_name == LAST else study_name)
    return run.url, run.study_name


def _last(url: str) -> str:
    from datetime import datetime

    from orchestrator.storage.overview import overview

    database = open_database(url, creates=False)
    try:
        found = database.read(lambda c: overview(c, keeps_runs=False))
    finally:
        database.close()
    return max(found, key=lambda study: (study.last or datetime.min, study.study_id)).name


def _no_such_study(url: str, study_name: str | None, names: list[str]) -> StudyError:
    some = ", ".join(sorted(names)[:8])
    if study_name is None and names:
        choose = f"choose with --study-name: {some}; or take 'last'"
        return StudyError(f"{masked(url)} holds several studies; {choose}.")
    if study_name is None:
        return StudyError(f"There is no study in {masked(url)}.")
    there = f"it holds {some}" if names else "it holds none"
    return StudyError(f"There is no study '{study_name}' in {masked(url)}; {there}.")
