"""An earlier search of this process that another one goes on with: its ``Summary`` in, what to open out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.errors import SpecError, StudyError
from orchestrator.sql.database import Database
from orchestrator.storage.study_storage import StudyStorage
from orchestrator.summary import Summary

MEMORY = "sqlite://"


@dataclass(frozen=True, slots=True)
class Origin:
    """The study of an earlier search. ``database.url`` has the password: it is for this process alone."""

    database: Database
    study_id: int
    study_name: str
    directions: tuple[str, ...]
    run_id: str  # of its last run
    named: bool  # its storage was named; else it is a file of its run, or memory
    copies: bool = False  # its trials go to the storage of the new run first

    @property
    def in_memory(self) -> bool:
        """Whether only this process can see it."""
        return self.database.url == MEMORY

    @property
    def stored_in(self) -> str | None:
        """The URL of the storage that the new run works in, if that is the earlier one's."""
        return None if self.copies else self.database.url


def origin_of(summary: Summary) -> Origin:
    """What a summary of this process leads to; the study may have been renamed since."""
    if summary.database is None or not summary.runs:
        raise SpecError("resume is a summary of no search by this process; give storage=URL and resume=True.")
    study = summary.study
    try:
        name = name_now(summary.database, study._study_id)
    except KeyError:
        raise StudyError(f"Study '{study.study_name}' was deleted; search without resume.") from None
    last = summary.runs[-1]
    directions = tuple(direction.name.lower() for direction in study.directions)
    return Origin(
        summary.database,
        study._study_id,
        name,
        directions,
        last.run_id,
        named=last.spec.get("storage_url") is not None,
    )


def name_now(database: Database, study_id: int) -> str:
    """The name of a study, which others may have changed; ``KeyError`` when they have deleted it."""
    return StudyStorage(database).get_study_name_from_id(study_id)


def require_same(origin: Origin, study_name: str | None, directions: Sequence[str]) -> None:
    """Refuse to go on with the study as another one."""
    if study_name is not None and study_name != origin.study_name:
        raise SpecError(
            f"study_name is '{study_name}', but resume goes on with study '{origin.study_name}'; leave one "
            "of them out."
        )
    if tuple(directions) != origin.directions:
        raise StudyError(
            f"Study '{origin.study_name}' was made to {' and '.join(origin.directions)}, not to "
            f"{' and '.join(directions)}; give direction as it was, or leave it out."
        )
