"""How ranks other than 0 come to a run: they wait until rank 0 has begun it, or has gone on with it."""

from __future__ import annotations

import logging
import random
import time
from pathlib import Path

from launchers import Rank
from orchestrator.errors import RunDirError, StorageError
from orchestrator.host import age_s
from orchestrator.launching.known_runs import (
    Known,
    Place,
    find_place,
    job_runs,
    require_same_settings,
    storage_of,
    stored_run,
)
from orchestrator.launching.launch import Launch, Wish, joined, require_shared_storage
from orchestrator.launching.lending import is_lent
from orchestrator.launching.peers import Decision
from orchestrator.machine import Share
from orchestrator.scratch.study_file import at_work
from orchestrator.spec import RunSpec
from orchestrator.storage.runs import FINISHED, StoredRun
from orchestrator.storage_url import relay_url, sqlite_url

log = logging.getLogger("nano_hpo")

_PATIENCE_S = 300.0  # how long a rank waits for rank 0, which may be importing TensorFlow over a network
_REACH_S = 60.0  # and how long for a database that rank 0 has just reached
_LOOKS_S = (0.2, 2.0)  # between two looks; not all ranks at once


def await_rank_zero(spec: RunSpec, rank: Rank, share: Share, wish: Wish, decision: Decision | None) -> Launch:
    """Join the run when it is there, also when quicker ranks have finished it since this one was started.

    A database that this rank does not reach is said at once, and raised as ``StorageError`` in the end.
    """
    require_shared_storage(spec, rank)
    deadline, trouble = time.monotonic() + _PATIENCE_S, None
    while time.monotonic() < deadline:
        place = find_place(spec, wish.run_dir) if decision is None else Place(decision.paths, None)
        try:
            found = _look(spec, rank, place, wish, decision)
        except StorageError as error:
            if not error.is_passing:
                raise
            if trouble is None and not is_lent(spec, rank):  # a relay may just not be open yet
                log.warning("Rank %d tries again: %s", rank.index, error)
            if trouble is None and decision is not None:
                deadline = min(deadline, time.monotonic() + _REACH_S)
            found, trouble = None, error
        else:
            trouble = None
        if found is not None:
            return joined(spec, rank, share, place.paths, found, wish.job)
        time.sleep(random.uniform(*_LOOKS_S))
    if trouble is not None:
        raise StorageError(f"Rank {rank.index} tried for long enough: {trouble}")
    raise RunDirError(
        f"Rank {rank.index} waited {_PATIENCE_S:g} s for rank 0 to create the run; see its output."
    )


def _look(spec: RunSpec, rank: Rank, place: Place, wish: Wish, decision: Decision | None) -> Known | None:
    """The run, if it is there by now."""
    url = _url(spec, rank, place, decision)
    return None if url is None else _find(spec, url, place, wish, decision)


def _url(spec: RunSpec, rank: Rank, place: Place, decision: Decision | None) -> str | None:
    """The database as this rank reaches it; None: rank 0 does not lend it yet."""
    if is_lent(spec, rank):
        return relay_url(place.paths.relay) if place.paths.relay.exists() else None
    if decision is not None and decision.sqlite is not None and spec.storage_url is None:
        return at_work(sqlite_url(Path(decision.sqlite)), spec.scratch)
    return storage_of(spec, place)


def _find(spec: RunSpec, url: str, place: Place, wish: Wish, decision: Decision | None) -> Known | None:
    """The run that rank 0 has told of; else that of the id, of the directory or of the job."""
    run_id = decision.run_id if decision is not None else wish.run_id
    if run_id is not None:
        return _of_this_launch(spec, url, run_id)
    if place.written is not None and place.holds(spec):
        found = _of_this_launch(spec, url, place.written["run_id"])
        if found is not None:
            return found
    return _in_job(spec, url, wish)


def _in_job(spec: RunSpec, url: str, wish: Wish) -> Known | None:
    if wish.identity is None or spec.storage_url is None:
        return None
    for stored in job_runs(url, spec.study_name, wish.identity):
        if _is_of_this_launch(stored):
            require_same_settings(spec, stored)
            return _known(url, stored)
    return None


def _of_this_launch(spec: RunSpec, url: str, run_id: str) -> Known | None:
    stored = stored_run(url, spec.study_name, run_id)
    if stored is None or not _is_of_this_launch(stored):
        return None
    require_same_settings(spec, stored)
    return _known(url, stored)


def _known(url: str, stored: StoredRun) -> Known:
    return Known(url, stored, is_over=stored.record.state == FINISHED)


def _is_of_this_launch(stored: StoredRun) -> bool:
    """Whether the run is at work, or has ended since this process was started."""
    return stored.ended_s is None or stored.ended_s < age_s()
