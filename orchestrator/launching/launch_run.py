"""Settings and an objective in; checked, agreed among the ranks and worked off; an outcome out.

What the command line and Python share.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path

from launchers import Rank, RankError, join_world, read_job, read_rank
from orchestrator.errors import SpecError
from orchestrator.launching.identity import identity_in
from orchestrator.launching.joining import await_rank_zero
from orchestrator.launching.launch import Existing, Launch, Wish, plan
from orchestrator.launching.origin import Origin
from orchestrator.launching.peers import Peers
from orchestrator.launching.run import Outcome, execute
from orchestrator.machine import Share, read_share
from orchestrator.objective import Objective, file_objective, pickled_objective
from orchestrator.orders import LoadOrder
from orchestrator.payload import ArrayFolder, place_of_arrays
from orchestrator.progress import Silent, View
from orchestrator.results import Draw
from orchestrator.scratch.place import scratch_parent
from orchestrator.server.automatic import attend, resolved
from orchestrator.sources import Sources
from orchestrator.spec import MAX_RUN_ID, RunSpec, is_text
from orchestrator.sql.advice import warnings_about, warnings_about_file
from orchestrator.tools import Tools, check_tools, pickle_tools


def launch_run(
    spec: RunSpec,
    objective: Objective | str,
    tools: Tools,
    view: View,
    run_dir: Path | None = None,
    run_id: str | None = None,
    existing: Existing = "refuse",
    draw: Draw = "all",
    origin: Origin | None = None,
    owns: bool = False,
    sources: Sources | None = None,
) -> Outcome:
    """Check everything, then run ``spec`` with worker processes. ``owns``: nobody else here needs MPI.

    ``sources``: where the settings came from, for ``run.json``.
    """
    check_tools(spec, tools)
    if run_id is not None and not (0 < len(run_id) <= MAX_RUN_ID and is_text(run_id)):
        raise SpecError(f"A run id has 1 to {MAX_RUN_ID} characters; this one has {len(run_id)}.")
    reference = file_objective(objective) if isinstance(objective, str) else None
    rank, peers = _ranks(view, owns)
    if rank.index > 0:
        view = Silent()  # rank 0 speaks for all
    with peers.told_of_failure() if rank.index == 0 else nullcontext(), ExitStack() as until_the_end:
        share = read_share(spec, rank, os.environ)
        wish = replace(_wish(spec, run_dir, run_id, existing, origin), sources=sources or Sources())
        attend(spec.storage_url, rank, view.note, spec.server)
        _say_first(view, spec, rank, share, run_dir or Path.cwd())

        def make_order(launch: Launch) -> LoadOrder:
            paths, who = launch.paths, launch.agent_name
            arrays = until_the_end.enter_context(ArrayFolder(place_of_arrays(paths, spec.scratch)))
            ref = reference or pickled_objective(objective, paths.objective(who), arrays)  # type: ignore[arg-type]
            return LoadOrder(ref, pickle_tools(tools, paths.tools(who), arrays), arrays.path)

        if rank.index == 0:
            return execute(lambda: plan(spec, rank, share, wish), make_order, view, draw, peers.tell)
        decision = peers.hear(spec)
        return execute(lambda: await_rank_zero(spec, rank, share, wish, decision), make_order, view, draw)


def _ranks(view: View, owns: bool) -> tuple[Rank, Peers]:
    """Which rank this is, and how rank 0 tells the others what it decides."""
    try:
        world = join_world(os.environ, owns)
        rank = world.rank if world is not None else read_rank(os.environ)
    except RankError as error:
        raise SpecError(str(error)) from error
    if world is not None and rank.index == 0:
        for note in world.notes:
            view.note(f"Warning: {note}")
    return rank, Peers(world)


def _wish(
    spec: RunSpec, run_dir: Path | None, run_id: str | None, existing: Existing, origin: Origin | None
) -> Wish:
    job = read_job(os.environ)
    identity = identity_in(job, spec.study_name) if job is not None else None
    return Wish(run_dir, run_id, identity, job.name if job is not None else None, existing, origin)


def _say_first(view: View, spec: RunSpec, rank: Rank, share: Share, folder: Path) -> None:
    """What people should know before a run begins; rank 0 speaks for all."""
    if rank.index > 0:
        return
    for warning in (*share.partition.warnings, *_warnings_of_storage(spec, folder)):
        view.note(f"Warning: {warning}")
    for note in share.notes:
        view.note(note)
    if rank.size > 1:
        workers = rank.size * spec.n_parallels
        view.note(f"{rank.size} ranks x {spec.n_parallels} = {workers} workers ({rank.launcher}).")


def _warnings_of_storage(spec: RunSpec, folder: Path) -> Iterable[str]:
    """``folder``: of the run, for one that has a SQLite file of its own."""
    if spec.storage_url:
        return warnings_about(resolved(spec.storage_url))
    return warnings_about_file(folder) if scratch_parent(folder, spec.scratch) is None else ()
