"""A recorded job in; how many trials its run has finished, as the storage says, out."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

from optuna.exceptions import StorageInternalError
from sqlalchemy import exc

from orchestrator.errors import UserError
from orchestrator.here import embedded_url
from orchestrator.jobs.record import JobRecord
from orchestrator.paths import numbered_runs, study_folder
from orchestrator.sql.asking import study_names
from orchestrator.sql.database import Database
from orchestrator.sql.opening import open_database
from orchestrator.storage.attempts import AttemptTable
from orchestrator.storage.runs import RunTable, StoredRun
from orchestrator.storage.study_storage import StudyStorage
from orchestrator.storage_url import ENVIRONMENT, checked, masked, sqlite_path


def trials_done(record: JobRecord, folder: Path) -> int | None:
    """Finished trials of the run that the job works on; None: not begun, or the storage does not say."""
    try:
        url = _url(record, folder)
        if url is None or not _is_there(url) or record.study not in study_names(url):
            return None
        with closing(open_database(url, creates=False)) as database:
            return _done(database, record) if database.keeps_runs() else None
    except (UserError, exc.SQLAlchemyError, StorageInternalError, OSError, ValueError):
        return None


def _done(database: Database, record: JobRecord) -> int | None:
    study_id = StudyStorage(database).get_study_id_from_name(record.study)
    runs = RunTable(database)
    own = [run for run in runs.of_study(study_id) if _takes_part(runs, run, record.job_id)]
    if not own:
        return None
    return AttemptTable(database, study_id).counts(own[-1].record.run_id).get("ended", 0)


def _takes_part(runs: RunTable, run: StoredRun, job_id: str) -> bool:
    """Whether an agent of the run belongs to the job, or to a task of that array."""
    names = (agent.job or "" for agent in runs.agents_of(run.record.run_id))
    return any(name == job_id or name.startswith(f"{job_id}_") for name in names)


def _url(record: JobRecord, folder: Path) -> str | None:
    """The storage's whole URL. One with a password is known only while the environment has it."""
    if record.storage is None:
        return _embedded(record, folder)
    if not record.has_secret:
        return checked(record.storage)
    given = os.environ.get(ENVIRONMENT)
    url = checked(given) if given else None
    return url if url is not None and masked(url) == record.storage else None


def _embedded(record: JobRecord, folder: Path) -> str | None:
    """The SQLite file of the study's last run in the folder, or of the run directory."""
    if record.run_dir is not None:
        root = Path(record.run_dir)
    else:
        runs = numbered_runs(study_folder(record.study, folder))
        if not runs:
            return None
        root = runs[-1]
    return embedded_url(root)


def _is_there(url: str) -> bool:
    path = sqlite_path(url)
    return path is None or path.exists()
