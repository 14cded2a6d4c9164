"""The end of a large study: its id in; batches of its trials deleted, then the study itself."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from orchestrator.sql.database import Database
from orchestrator.storage.rows import lock_study
from orchestrator.storage.study_rows import delete_newest_trials, delete_study


def delete_in_batches(
    database: Database, study_id: int, deleted: Callable[[int], None] = lambda n: None
) -> None:
    """Delete a study and all its rows in many short transactions; ``deleted`` hears how many trials went.

    The newest trials go first, so what an interruption leaves is a sound, shorter study, and doing it again
    deletes the rest. A study that is gone already is no error.
    """
    keeps_runs = database.keeps_runs()
    while n := database.write(lambda c: delete_newest_trials(c, study_id, keeps_runs)):
        deleted(n)

    def the_rest(c: sa.Connection) -> None:
        lock_study(c, study_id)  # so that no trial is added between its trials and itself
        delete_study(c, study_id, keeps_runs)

    database.write(the_rest)
