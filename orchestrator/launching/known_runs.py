"""Runs that a launch may go on with: a directory, an id or a job in; the stored run and its storage out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import RunDirError, StudyError
from orchestrator.launching.identity import JobIdentity
from orchestrator.launching.origin import Origin
from orchestrator.paths import RUN_DIR, RunPaths, next_run, numbered_runs, study_folder
from orchestrator.scratch.study_file import at_work
from orchestrator.server.automatic import resolved
from orchestrator.spec import RunSpec
from orchestrator.sql.asking import study_directions
from orchestrator.sql.opening import open_database
from orchestrator.storage.runs import FINISHED, RunTable, StoredRun
from orchestrator.storage_url import sqlite_url


@dataclass(frozen=True, slots=True)
class Known:
    """A run that is there. ``is_over``: others have finished it, and there is nothing left to do."""

    url: str
    stored: StoredRun
    is_over: bool = False

    @property
    def run_id(self) -> str:
        """Its identity."""
        return self.stored.record.run_id


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run may be: as asked for, and what ``run.json`` there says of an earlier one."""

    paths: RunPaths
    written: dict[str, Any] | None

    def holds(self, spec: RunSpec) -> bool:
        """Whether the same command has begun the run there."""
        return self.written is not None and self.written["spec_hash"] == spec.identity_hash()


def find_place(spec: RunSpec, run_dir: Path | None) -> Place:
    """The directory that is asked for, else the last one of the study in this folder, else its first."""
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


def storage_of(spec: RunSpec, place: Place, origin: Origin | None = None) -> str:
    """The named storage; else the earlier search's; else the file that ``run.json`` names; else a new one.

    A file of a run is where it is at work for this launch.
    """
    if spec.storage_url:
        return resolved(spec.storage_url)
    if origin is not None and origin.stored_in:
        return origin.stored_in if origin.named else at_work(origin.stored_in, spec.scratch)
    embedded = place.written.get("embedded") if place.written is not None else None
    file = place.paths.root / embedded if embedded else place.paths.database
    return at_work(sqlite_url(file), spec.scratch)


def in_directory(spec: RunSpec, place: Place, origin: Origin | None = None) -> Known | None:
    """The unfinished run that the same command has begun in a directory, on the study of ``origin``."""
    if place.written is None or not place.holds(spec):
        return None
    url = storage_of(spec, place, origin)
    stored = stored_run(url, spec.study_name, place.written["run_id"], origin)
    return None if stored is None or _is_complete(spec, stored, place) else Known(url, stored)


def with_id(
    spec: RunSpec, place: Place, run_id: str, origin: Origin | None = None, repeats: bool = False
) -> Known | None:
    """The run of an id that is asked for.

    Raises ``StudyError`` when it has other settings or is finished, unless the launch ``repeats`` it.
    """
    url = storage_of(spec, place, origin)
    stored = stored_run(url, spec.study_name, run_id, origin)
    if stored is None:
        return None
    require_same_settings(spec, stored)
    is_over = _is_complete(spec, stored, place)
    if is_over and not repeats:
        raise StudyError(f"Run {run_id} is finished; choose another --run-id, with --resume on its study.")
    return Known(url, stored, is_over)


def in_job(spec: RunSpec, identity: JobIdentity | None) -> Known | None:
    """The first unfinished run of a job with these settings; of one that is repeated, also a finished one.

    Only runs in a named storage are known by their job: others are found in their directory.
    """
    if identity is None or spec.storage_url is None:
        return None
    url, over = resolved(spec.storage_url), None
    there = job_runs(url, spec.study_name, identity)
    for stored in there:
        if stored.record.state == FINISHED:
            over = stored if stored.spec_hash == spec.identity_hash() else over
        elif stored.spec_hash == spec.identity_hash():
            return Known(url, stored)
        elif identity.repeats:
            require_same_settings(spec, stored)
    return Known(url, over, is_over=True) if over is not None and identity.repeats else None


def job_runs(url: str, study_name: str, identity: JobIdentity) -> list[StoredRun]:
    """The runs of a job on a study, from the first that is meant on, in their order."""
    if study_directions(url, study_name) is None:
        return []
    database = open_database(url, creates=False)
    try:
        runs = RunTable(database)
        found: list[StoredRun] = []
        if not database.keeps_runs():
            return found
        for run_id in identity.ids():
            stored = runs.find(run_id)
            if stored is None:
                return found
            found.append(stored)
    finally:
        database.close()
    raise AssertionError("the ids of a job have no end")


def require_same_settings(spec: RunSpec, stored: StoredRun) -> None:
    """Refuse to work on a run with other settings, by their names."""
    if stored.spec_hash == spec.identity_hash():
        return
    different = ", ".join(spec.differences(stored.record.spec)) or "its storage"
    raise StudyError(
        f"Run {stored.record.run_id} was begun with other settings ({different}); give the same ones, or "
        "another --run-id."
    )


def _is_complete(spec: RunSpec, stored: StoredRun, place: Place) -> bool:
    """Whether the run is finished and has left its files: a launch may have died over writing them."""
    if stored.record.state != FINISHED or spec.resume:
        return stored.record.state == FINISHED
    is_there = place.written is not None and place.written["run_id"] == stored.record.run_id
    return place.paths.summary.exists() or not is_there


def stored_run(url: str, study_name: str, run_id: str, origin: Origin | None = None) -> StoredRun | None:
    """The run of that id on the study of that name (and on that of ``origin``)."""
    if study_directions(url, study_name) is None:
        return None
    database = open_database(url, creates=False)
    try:
        if not database.keeps_runs():  # plain Optuna's
            return None
        runs = RunTable(database)
        stored = runs.find(run_id)
        before = runs.find(origin.run_id) if origin is not None else stored
    finally:
        database.close()
    if stored is None or before is None or before.study_id != stored.study_id:
        return None
    return stored
