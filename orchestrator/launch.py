"""From settings to a plan: which directory, which storage, a new run or one to go on with.

``plan`` only looks: whatever is wrong is found before anything is written. ``orchestrator.begin`` writes.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

from launchers import Rank
from orchestrator.errors import RunDirError, StudyError
from orchestrator.host import age_s
from orchestrator.machine import Share
from orchestrator.origin import Origin
from orchestrator.paths import RUN_DIR, RunPaths, next_run, numbered_runs, study_folder
from orchestrator.run_handle import is_live
from orchestrator.server.automatic import resolved
from orchestrator.spec import RunSpec
from orchestrator.sql.advice import require_server
from orchestrator.sql.opening import open_database, patiently, require_folder, study_directions
from orchestrator.storage.runs import FINISHED, RunTable, StoredRun
from orchestrator.storage_url import masked, sqlite_url

Existing = Literal["refuse", "rename"]
RESUME = "--resume (resume=True)"
_PATIENCE_S = 120.0  # how long a rank waits for rank 0 to create the run


@dataclass(frozen=True, slots=True)
class Launch:
    """What is about to happen: the settings, this rank's slots, the directory, the storage and the run."""

    spec: RunSpec
    rank: Rank
    share: Share
    paths: RunPaths
    storage_url: str
    run_id: str
    continues: bool  # the run exists and is unfinished
    renames: bool = False  # a study of that name is in the way and is renamed
    origin: Origin | None = None  # an earlier search of this process, that a new run goes on with


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run may be: as asked for, and what ``run.json`` there says of an earlier one."""

    paths: RunPaths
    written: dict[str, Any] | None


def plan(
    spec: RunSpec,
    rank: Rank,
    share: Share,
    run_dir: Path | None = None,
    run_id: str | None = None,
    existing: Existing = "refuse",
    origin: Origin | None = None,
) -> Launch:
    """Decide what a launch does. Reads the run directory and the database; creates nothing.

    Rank 0 decides; other ranks wait until the run it creates is there. Raises ``UserError`` in one line.
    """
    if rank.size > rank.local_size:
        require_server(resolved(spec.storage_url) if spec.storage_url else None)
    if rank.index > 0:
        return _await_rank_zero(spec, rank, share, run_dir, run_id)
    place = _place(spec, run_dir)
    is_continued = place.written is not None and place.written["spec_hash"] == spec.identity_hash()
    patience_s = spec.storage_patience_s if is_continued else 0.0  # else the URL may simply be wrong
    known = patiently(lambda: _known_run(spec, place, run_id, origin), patience_s)
    if known is not None and not _is_complete(spec, known[1], place):
        url, stored = known
        patiently(lambda: _refuse_second_agent(url, stored, rank), patience_s)
        return Launch(spec, rank, share, place.paths, url, stored.record.run_id, continues=True)
    if known is not None and run_id is not None:
        raise StudyError(f"Run {run_id} is finished; choose another --run-id, with --resume on its study.")
    return _plan_new(spec, rank, share, place, run_dir, run_id, existing, origin)


def _is_complete(spec: RunSpec, stored: StoredRun, place: Place) -> bool:
    """Whether the run is finished and has left its files: a launch may have died over writing them."""
    if stored.record.state != FINISHED or spec.resume:
        return stored.record.state == FINISHED
    is_there = place.written is not None and place.written["run_id"] == stored.record.run_id
    return place.paths.summary.exists() or not is_there


def _place(spec: RunSpec, run_dir: Path | None) -> Place:
    if run_dir is not None:
        paths = RunPaths(run_dir.expanduser().resolve())
        return Place(paths, _read_written(paths))
    folder = study_folder(spec.study_name, Path.cwd())
    runs = numbered_runs(folder)
    paths = RunPaths(runs[-1] if runs else next_run(folder))
    return Place(paths, _read_written(paths))


def _read_written(paths: RunPaths) -> dict[str, Any] | None:
    try:
        written = json.loads(paths.spec.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):  # the latter is said when the folder is made
        return None
    except (OSError, ValueError) as error:
        raise RunDirError(f"{paths.spec} cannot be read ({error}); choose another {RUN_DIR}.") from None
    if not isinstance(written, dict) or not {"run_id", "spec_hash"} <= written.keys():
        raise RunDirError(f"{paths.spec} was not written by nano-hpo; choose another {RUN_DIR}.")
    return written


def _known_run(
    spec: RunSpec, place: Place, run_id: str | None, origin: Origin | None = None
) -> tuple[str, StoredRun] | None:
    """The run that the same command has begun (on the study of ``origin``), and the URL of its storage."""
    written = place.written
    if run_id is None and (written is None or written["spec_hash"] != spec.identity_hash()):
        return None
    url = _storage_of(spec, place, origin)
    wanted = run_id or (written["run_id"] if written else None)
    if wanted is None or study_directions(url, spec.study_name) is None:
        return None
    database = open_database(url)
    try:
        runs = RunTable(database)
        stored = runs.find(wanted)
        before = runs.find(origin.run_id) if origin is not None else stored
    finally:
        database.close()
    if stored is None or before is None or before.study_id != stored.study_id:
        return None
    if stored.spec_hash != spec.identity_hash():
        raise StudyError(f"Run {wanted} was begun with other settings; choose another --run-id.")
    return url, stored


def _storage_of(spec: RunSpec, place: Place, origin: Origin | None = None) -> str:
    """The named storage; else the earlier search's; else the file that ``run.json`` names; else a new one."""
    if spec.storage_url:
        return resolved(spec.storage_url)
    if origin is not None and origin.stored_in:
        return origin.stored_in
    if place.written is not None and place.written.get("embedded"):
        return sqlite_url(place.paths.root / place.written["embedded"])
    return sqlite_url(place.paths.database)


def _refuse_second_agent(url: str, stored: StoredRun, rank: Rank) -> None:
    """The same command twice at once on one machine would use the same cores twice."""
    database = open_database(url)
    try:
        agents = RunTable(database).agents_of(stored.record.run_id)
    finally:
        database.close()
    for agent in agents:
        if agent.rank == rank.index and agent.process.is_here() and is_live(agent):
            raise RunDirError(
                f"Run {stored.record.run_id} is at work here as process {agent.process.pid}; "
                f"wait for it or stop it, or begin another run with {RUN_DIR}."
            )


def _plan_new(
    spec: RunSpec,
    rank: Rank,
    share: Share,
    place: Place,
    run_dir: Path | None,
    run_id: str | None,
    existing: Existing,
    origin: Origin | None,
) -> Launch:
    paths = place.paths
    if spec.storage_url:
        require_folder(spec.storage_url)
    if place.written is not None:
        paths = _paths_after(spec, place, run_dir)
    url = _storage_of(spec, place if spec.resume else Place(paths, None), origin)
    renames = _check_study(spec, url, existing)
    run_id = run_id or _new_id()
    return Launch(spec, rank, share, paths, url, run_id, continues=False, renames=renames, origin=origin)


def _paths_after(spec: RunSpec, place: Place, run_dir: Path | None) -> RunPaths:
    """Where a new run goes when an earlier one left its files: the next number, or the same if asked."""
    assert place.written is not None
    if run_dir is None:
        return RunPaths(next_run(place.paths.root.parent))
    if not spec.resume:
        raise RunDirError(
            f"{place.paths.root} holds run {place.written['run_id']}, finished or with other settings; "
            f"choose another {RUN_DIR}, or add trials to its study with {RESUME}."
        )
    return place.paths


def _check_study(spec: RunSpec, url: str, existing: Existing) -> bool:
    """Whether a study of that name must be renamed; refuse what does not fit."""
    stored = study_directions(url, spec.study_name)
    where = f"in {masked(url)}"
    if stored is None:
        if spec.resume:
            raise StudyError(f"There is no study '{spec.study_name}' {where}; leave out {RESUME}.")
        return False
    if not spec.resume:
        if existing == "rename":
            return True
        raise StudyError(
            f"Study '{spec.study_name}' exists {where}; add trials to it with {RESUME}, or choose another "
            "--study-name (study_name=NAME)."
        )
    if stored != spec.directions:
        raise StudyError(
            f"Study '{spec.study_name}' was made to {' and '.join(stored)}, not to "
            f"{' and '.join(spec.directions)}; give --direction (direction=) as stored."
        )
    return False


def _new_id() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"


def _await_rank_zero(
    spec: RunSpec, rank: Rank, share: Share, run_dir: Path | None, run_id: str | None
) -> Launch:
    """Join the run when it is there, also when quicker ranks have finished it since this one was started."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        place = _place(spec, run_dir)
        left_s = deadline - time.monotonic()
        found = patiently(partial(_known_run, spec, place, run_id), left_s)
        if found is not None and _is_of_this_launch(found[1]):
            return Launch(spec, rank, share, place.paths, found[0], found[1].record.run_id, continues=True)
        time.sleep(0.5)
    raise RunDirError(
        f"Rank {rank.index} waited {_PATIENCE_S:g} s for rank 0 to create the run; see its output."
    )


def _is_of_this_launch(stored: StoredRun) -> bool:
    """Whether the run is at work, or has ended since this process was started."""
    return stored.ended_s is None or stored.ended_s < age_s()
