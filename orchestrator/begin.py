"""The beginning of a run: a plan in; tables, study and run created or joined, this agent announced."""

from __future__ import annotations

import json
import os
import secrets
import uuid
import warnings
from pathlib import Path

import optuna
from optuna.study import StudyDirection

from orchestrator.carry.reading import StudySource
from orchestrator.carry.writing import land_study
from orchestrator.errors import StudyError
from orchestrator.host import this_process
from orchestrator.launch import RESUME, Launch
from orchestrator.origin import Origin, name_now
from orchestrator.paths import write_whole
from orchestrator.run_handle import RunHandle
from orchestrator.spec import RunSpec
from orchestrator.sql.database import Database
from orchestrator.sql.opening import open_database, patiently
from orchestrator.sql.patience import Patience
from orchestrator.storage.runs import RUNNING, RunTable
from orchestrator.storage.study_storage import StudyStorage
from orchestrator.storage_url import masked, sqlite_path


def begin(launch: Launch) -> RunHandle:
    """Create what is missing (tables, study, run), announce this agent, and return the run."""
    patience_s = launch.spec.storage_patience_s
    database = patiently(lambda: open_database(launch.storage_url, Patience(patience_s)), patience_s)
    runs = RunTable(database)
    if launch.continues:
        _reopen(runs, launch)
    else:
        _create(database, runs, launch)
    stored = runs.find(launch.run_id)
    assert stored is not None
    agent_id = uuid.uuid4().hex
    _announce(runs, launch, agent_id)
    return RunHandle(
        database=database,
        storage_url=launch.storage_url,
        study_name=launch.spec.study_name,
        study_id=stored.study_id,
        run_id=launch.run_id,
        agent_id=agent_id,
        seed=stored.seed,
        joined=launch.continues,
    )


def _announce(runs: RunTable, launch: Launch, agent_id: str) -> None:
    runs.register_agent(agent_id, launch.run_id, launch.rank.index, this_process())


def _reopen(runs: RunTable, launch: Launch) -> None:
    stored = runs.find(launch.run_id)
    assert stored is not None
    if stored.record.state != RUNNING and launch.rank.index == 0:
        runs.reopen(launch.run_id)


def _create(database: Database, runs: RunTable, launch: Launch) -> None:
    spec = launch.spec
    if launch.renames:
        runs.rename_study(StudyStorage(database).get_study_id_from_name(spec.study_name), spec.study_name)
    if launch.origin is not None and launch.origin.copies:
        study_id = _copy_study(launch.origin, database, spec.study_name)
    else:
        study_id = create_study(database, spec)
    runs.create(launch.run_id, study_id, spec, seed_of(runs, study_id, spec))
    _write_run_json(launch)


def _copy_study(origin: Origin, database: Database, study_name: str) -> int:
    """Bring the trials of the earlier search here, with all that is known of them."""
    source = StudySource(origin.database, name_now(origin.database, origin.study_id))
    land_study(database, source.head, source.parts(), study_name)
    return StudyStorage(database).get_study_id_from_name(study_name)


def create_study(database: Database, spec: RunSpec) -> int:
    """A new study, or the one that is resumed; its id."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = StudyStorage(database)
    if spec.resume:
        return storage.get_study_id_from_name(spec.study_name)
    directions = [StudyDirection[direction.upper()] for direction in spec.directions]
    try:
        study_id = storage.create_new_study(directions, spec.study_name)
    except optuna.exceptions.DuplicatedStudyError:
        raise StudyError(f"Study '{spec.study_name}' was just made by somebody else; add {RESUME}.") from None
    if spec.metric_names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.Study(spec.study_name, storage).set_metric_names(list(spec.metric_names))
    return study_id


def seed_of(runs: RunTable, study_id: int, spec: RunSpec) -> int:
    """The seed asked for, else that of the study's first run, else a fresh one (stored with the run)."""
    if spec.seed is not None:
        return spec.seed
    earlier = runs.of_study(study_id)
    return earlier[0].seed if earlier else secrets.randbelow(2**31)


def _write_run_json(launch: Launch) -> None:
    embedded = None
    if launch.spec.storage_url is None:
        file = sqlite_path(launch.storage_url)
        assert file is not None
        embedded = _relative(file, launch.paths.root)
    data = {
        "run_id": launch.run_id,
        "spec": launch.spec.as_json(),
        "spec_hash": launch.spec.identity_hash(),
        "storage": masked(launch.storage_url),
        "embedded": embedded,  # the SQLite file, relative to this folder, which may be moved
        "ranks": launch.rank.size,
    }
    write_whole(launch.paths.spec, json.dumps(data, indent=2, default=repr) + "\n")


def _relative(file: Path, folder: Path) -> str:
    return os.path.relpath(file.resolve(), folder.resolve())
