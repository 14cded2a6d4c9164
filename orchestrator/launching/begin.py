"""The beginning of a run: a plan in; tables, study and run created or joined, this agent announced."""

from __future__ import annotations

import json
import os
import secrets
import uuid
from pathlib import Path

import optuna

from orchestrator.carry.reading import StudySource
from orchestrator.carry.writing import land_study
from orchestrator.errors import StudyError
from orchestrator.host import this_process
from orchestrator.launching.known_runs import require_same_settings
from orchestrator.launching.launch import RESUME, Launch
from orchestrator.launching.origin import Origin, name_now
from orchestrator.machine_report import planned
from orchestrator.paths import write_whole
from orchestrator.run_handle import RunHandle
from orchestrator.scratch.study_file import home_of
from orchestrator.spec import RunSpec
from orchestrator.sql.database import Database
from orchestrator.sql.opening import open_database, patiently, rejoin_database
from orchestrator.sql.patience import Patience
from orchestrator.storage.runs import RUNNING, NewStudy, RunTable, move_aside
from orchestrator.storage.study_rows import study_id_of
from orchestrator.storage.study_storage import StudyStorage
from orchestrator.storage_url import masked, sqlite_path


def begin(launch: Launch) -> RunHandle:
    """Create what is missing (tables, study, run), announce this agent, and return the run.

    Another launch that means the same run may have been quicker: this one joins it then.
    """
    patience_s = launch.spec.storage_patience_s
    patience = Patience(patience_s)
    opens = rejoin_database if launch.rank.index > 0 else open_database  # rank 0 has seen to the tables
    database = patiently(lambda: opens(launch.storage_url, patience), patience_s)
    runs = RunTable(database)
    is_new = not launch.continues and _create(database, runs, launch)
    stored = runs.find(launch.run_id)
    assert stored is not None
    require_same_settings(launch.spec, stored)
    if launch.continues and stored.record.state != RUNNING and launch.rank.index == 0:
        runs.reopen(launch.run_id)
    if launch.rank.index == 0 and (is_new or not launch.paths.spec.exists()):
        _write_run_json(launch, stored.seed)
    agent_id = uuid.uuid4().hex
    rank, process = launch.rank, this_process()
    machine = planned(launch.share, rank.index, process.host, os.environ)
    runs.register_agent(agent_id, launch.run_id, rank.index, process, rank.size, launch.job, machine)
    return RunHandle(
        database=database,
        storage_url=launch.storage_url,
        study_name=launch.spec.study_name,
        study_id=stored.study_id,
        run_id=launch.run_id,
        agent_id=agent_id,
        seed=stored.seed,
        joined=not is_new,
    )


def _create(database: Database, runs: RunTable, launch: Launch) -> bool:
    """Write the run, with its study where that is new; False: somebody else has just done it."""
    spec = launch.spec
    study = _study_of(database, launch)
    seed = spec.seed if spec.seed is not None else seed_of(runs, study)
    try:
        return runs.create(launch.run_id, study, spec, seed)
    except optuna.exceptions.DuplicatedStudyError:
        raise StudyError(f"Study '{spec.study_name}' was just made by somebody else; add {RESUME}.") from None


def _study_of(database: Database, launch: Launch) -> int | NewStudy:
    """The study that is gone on with, the copy of an earlier search's, or the one to make."""
    spec = launch.spec
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if spec.resume:
        return StudyStorage(database).get_study_id_from_name(spec.study_name)
    in_the_way = _id_of(database, spec.study_name) if launch.renames else None
    if launch.origin is None or not launch.origin.copies:
        return new_study(spec, in_the_way)
    if in_the_way is not None:
        database.write(lambda c: move_aside(c, in_the_way, spec.study_name))
    return _copy_study(launch.origin, database, spec.study_name)


def new_study(spec: RunSpec, replaces: int | None = None) -> NewStudy:
    """The study of a run that has none yet."""
    return NewStudy(spec.study_name, spec.directions, spec.metric_names, replaces)


def _id_of(database: Database, study_name: str) -> int | None:
    return database.read(lambda c: study_id_of(c, study_name))


def _copy_study(origin: Origin, database: Database, study_name: str) -> int:
    """Bring the trials of the earlier search here, with all that is known of them."""
    source = StudySource(origin.database, name_now(origin.database, origin.study_id))
    land_study(database, source.head, source.parts(), study_name)
    return StudyStorage(database).get_study_id_from_name(study_name)


def seed_of(runs: RunTable, study: int | NewStudy) -> int:
    """The seed where none is asked for: that of the study's first run, else a fresh one."""
    earlier = runs.of_study(study) if isinstance(study, int) else []
    return earlier[0].seed if earlier else secrets.randbelow(2**31)


def _write_run_json(launch: Launch, seed: int) -> None:
    """The run for those who come later: what it is, with what settings, and where each came from."""
    embedded, home, spec = None, home_of(launch.storage_url), launch.spec.as_json()
    if launch.spec.storage_url is None:
        file = sqlite_path(home)
        assert file is not None
        embedded = _relative(file, launch.paths.root)
    data = {
        "run_id": launch.run_id,
        "spec": spec,
        "sources": launch.sources.as_json(spec),  # of each setting, in the same shape
        "study_file": str(launch.sources.study_file) if launch.sources.study_file else None,
        "seed": seed,  # that is used: asked for, or drawn
        "spec_hash": launch.spec.identity_hash(),
        "storage": masked(home),
        "embedded": embedded,  # the SQLite file, relative to this folder, which may be moved
        "ranks": launch.rank.size,
    }
    write_whole(launch.paths.spec, json.dumps(data, indent=2, default=repr) + "\n")


def _relative(file: Path, folder: Path) -> str:
    return os.path.relpath(file.resolve(), folder.resolve())
