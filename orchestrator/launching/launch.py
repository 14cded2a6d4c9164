"""From settings to a plan: which directory, which storage, a new run or one to go on with.

``plan`` only looks: whatever is wrong is found before anything is written. ``begin`` writes.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from launchers import Rank
from orchestrator.errors import RunDirError, StorageError, StudyError
from orchestrator.launching.identity import JobIdentity
from orchestrator.launching.known_runs import (
    Known,
    Place,
    find_place,
    in_directory,
    in_job,
    job_runs,
    storage_of,
    with_id,
)
from orchestrator.launching.origin import Origin
from orchestrator.machine import Share
from orchestrator.paths import RUN_DIR, RunPaths, next_run
from orchestrator.scratch.study_file import home_of
from orchestrator.server.automatic import resolved
from orchestrator.sources import Sources
from orchestrator.spec import RunSpec
from orchestrator.sql.advice import require_server
from orchestrator.sql.asking import study_directions
from orchestrator.sql.opening import open_database, patiently, require_folder
from orchestrator.storage.runs import RunTable
from orchestrator.storage_url import masked, sqlite_path

Existing = Literal["refuse", "rename"]
RESUME = "--resume (resume=True)"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a launch is asked for beside the settings of its run.

    run_dir: where the files go; None: a new folder, or that of the run that is gone on with.
    run_id: the run's identity; None: that of its directory, or of its job.
    identity: of the Slurm job that this process belongs to. job: its name.
    existing: what becomes of a stored study of that name. origin: an earlier search of this process.
    sources: where the settings came from.
    """

    run_dir: Path | None = None
    run_id: str | None = None
    identity: JobIdentity | None = None
    job: str | None = None
    existing: Existing = "refuse"
    origin: Origin | None = None
    sources: Sources = field(default_factory=Sources)


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
    is_over: bool = False  # the run exists, and others have finished it
    renames: bool = False  # a study of that name is in the way and is renamed
    origin: Origin | None = None  # an earlier search of this process, that a new run goes on with
    job: str | None = None  # the Slurm job that this rank belongs to
    sources: Sources = field(default_factory=Sources)  # of the settings; for a new run

    @property
    def agent_name(self) -> str:
        """What parts the files of this rank from those of others; nothing where there is no other."""
        rank = f"rank{self.rank.index}" if self.rank.size > 1 else ""
        return "-".join(word for word in (f"job{self.job}" if self.job else "", rank) if word)

    def log_of(self, slot: int) -> Path:
        """Where the workers of a slot of this rank print to."""
        return self.paths.worker_log(self.rank.index, slot, self.job)


def plan(spec: RunSpec, rank: Rank, share: Share, wish: Wish) -> Launch:
    """Decide what rank 0 does. Reads the run directory and the database; creates nothing.

    The other ranks wait for what comes of it (``joining``). Raises ``UserError`` in one line.
    """
    require_shared_storage(spec, rank)
    place = find_place(spec, wish.run_dir)
    patience_s = spec.storage_patience_s if place.holds(spec) else 0.0  # else the URL may simply be wrong
    found = patiently(lambda: _known(spec, place, wish), patience_s)
    if found is None:
        return _plan_new(spec, rank, share, place, wish)
    if not found.is_over:
        patiently(lambda: _refuse_second_agent(found, rank, wish.job), patience_s)
    return joined(spec, rank, share, place.paths, found, wish.job)


def require_shared_storage(spec: RunSpec, rank: Rank) -> None:
    """Refuse a SQLite file that is named for ranks on several hosts; that of a run is lent by rank 0."""
    if rank.size > rank.local_size and spec.storage_url and not spec.storage_proxy:
        require_server(resolved(spec.storage_url))


def joined(spec: RunSpec, rank: Rank, share: Share, paths: RunPaths, found: Known, job: str | None) -> Launch:
    """The launch that goes on with a run, or comes when it is over."""
    run_id = found.stored.record.run_id
    return Launch(spec, rank, share, paths, found.url, run_id, continues=True, is_over=found.is_over, job=job)


def _known(spec: RunSpec, place: Place, wish: Wish) -> Known | None:
    """The run that is meant: by its id, else the unfinished one of the directory, else that of the job."""
    if wish.run_id is not None:
        repeats = wish.identity is not None and wish.identity.repeats
        return with_id(spec, place, wish.run_id, wish.origin, repeats)
    return in_directory(spec, place, wish.origin) or in_job(spec, wish.identity)


def _refuse_second_agent(found: Known, rank: Rank, job: str | None) -> None:
    """The same command twice at once on one machine would use the same cores twice; and SQLite has one host.

    Another job, or another task of a job array, has cores of its own.
    """
    database = open_database(found.url, creates=False)
    try:
        agents = [agent for agent in RunTable(database).agents_of(found.run_id) if agent.is_live]
    finally:
        database.close()
    for agent in agents:
        file = sqlite_path(home_of(found.url))
        if not agent.process.is_here() and file is not None:
            raise StorageError(
                f"Run {found.run_id} is at work on {agent.process.host}, and two hosts cannot share the "
                f"SQLite file {file}: name a database server, as "
                f"--storage mysql://USER@HOST/DATABASE (storage=URL), or choose another {RUN_DIR}."
            )
        if agent.rank == rank.index and agent.job == job and agent.process.is_here():
            raise RunDirError(
                f"Run {found.run_id} is at work here as process {agent.process.pid}; "
                f"wait for it or stop it, or begin another run with {RUN_DIR}."
            )


def _plan_new(spec: RunSpec, rank: Rank, share: Share, place: Place, wish: Wish) -> Launch:
    paths = place.paths
    if spec.storage_url:
        require_folder(spec.storage_url)
    if place.written is not None:
        paths = _paths_after(spec, place, wish.run_dir)
    url = storage_of(spec, place if spec.resume else Place(paths, None), wish.origin)
    renames = _check_study(spec, url, wish.existing)
    return Launch(
        spec,
        rank,
        share,
        paths,
        url,
        run_id=wish.run_id or _free_id(spec, url, wish.identity),
        continues=False,
        renames=renames,
        origin=wish.origin,
        job=wish.job,
        sources=wish.sources,
    )


def _free_id(spec: RunSpec, url: str, identity: JobIdentity | None) -> str:
    """The first id of the job that no run has; elsewhere any."""
    if identity is None or spec.storage_url is None:
        return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
    taken = {stored.record.run_id for stored in job_runs(url, spec.study_name, identity)}
    return next(run_id for run_id in identity.ids() if run_id not in taken)


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
