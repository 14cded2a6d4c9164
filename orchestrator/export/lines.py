"""A study as JSON lines, which ``nano-hpo import`` reads: a database and a study in, the file out."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.carry.files import write_study
from orchestrator.carry.reading import StudySource
from orchestrator.export.formats import Exported
from orchestrator.export.telling import counted
from orchestrator.sql.database import Database
from orchestrator.words import how_many


def write(database: Database, source: StudySource, file: str, told: Callable[[int], None]) -> Exported:
    """Write it; what is in the file now."""
    n_trials, n_runs = write_study(file, source.head, counted(source.parts(), told))
    said = f"{how_many(n_trials, 'trial')}, {how_many(n_runs, 'run')}"
    return Exported(said, n_trials, n_runs)
