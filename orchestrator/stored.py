"""A stored study: a URL and a name as people give them in, the open database out."""

from __future__ import annotations

from orchestrator.errors import SpecError, StudyError
from orchestrator.sql.database import Database
from orchestrator.sql.opening import open_database, study_names
from orchestrator.storage_url import chosen_url, masked


def open_stored(storage: str | None, study_name: str | None) -> tuple[Database, str, str]:
    """Database, URL and study name; the name may be missing when the storage holds one study only.

    Raises ``UserError`` when there is no such study; creates no database and no study.
    """
    url = chosen_url(storage)
    if url is None:
        raise SpecError("Name the storage: --storage URL, or the environment variable NANO_HPO_STORAGE.")
    names = study_names(url)
    if study_name is None and len(names) == 1:
        study_name = names[0]
    if study_name not in names:
        some = ", ".join(sorted(names)[:8])
        if study_name is None and names:
            raise StudyError(f"{masked(url)} holds several studies; choose with --study-name: {some}.")
        wanted = "study" if study_name is None else f"study '{study_name}'"
        there = f"it holds {some}" if names else "it holds none"
        raise StudyError(f"There is no {wanted} in {masked(url)}; {there}.")
    return open_database(url, creates=False), url, study_name
