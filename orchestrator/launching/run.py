"""One launch from beginning to end: a plan in; a worked-off run, its files and its ending out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DBAPIError

from launchers import Rank
from orchestrator.agent.agent import Agent
from orchestrator.agent.stopping import Ending
from orchestrator.errors import RunFailed
from orchestrator.kept_folders import remove_spare_folders
from orchestrator.launching.begin import begin
from orchestrator.launching.beginning import Beginning, settle
from orchestrator.launching.launch import Launch
from orchestrator.launching.lending import Lending
from orchestrator.orders import LoadOrder
from orchestrator.paths import RunPaths
from orchestrator.progress import View
from orchestrator.results import Draw, Written, write_results
from orchestrator.run_handle import RunHandle
from orchestrator.scratch import study_file
from orchestrator.scratch.logs import logs_on_this_node
from orchestrator.sql.database import Database
from orchestrator.sql.failures import is_passing, said
from orchestrator.sql.opening import open_database
from orchestrator.stop import StopRequests
from orchestrator.storage.runs import FINISHED, UNENDED
from orchestrator.storage_url import masked, relay_file, sqlite_url
from orchestrator.summarise import summarise
from orchestrator.summary import Summary

_LOOK_S = 1.0  # between looks at agents of other hosts when this one is done
_END_S = 90.0  # a rank that has died without a word is known to be dead after a minute
_HURRY_S = 3.0
_WORTH_A_LINE = 8  # looks: a living agent beats more often


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a launch ended. ``written`` is None on an agent that was not the last of its run."""

    rank: Rank
    ending: Ending
    signals: int  # how many asked to stop
    paths: RunPaths
    summary: Summary | None  # None: it was stopped before the run began
    written: Written | None


def execute(
    replan: Callable[[], Launch],
    make_order: Callable[[Launch], LoadOrder],
    view: View,
    draw: Draw = "all",
    decided: Callable[[Launch], None] = lambda launch: None,
) -> Outcome:
    """Plan a launch and work it off; ``decided`` hears of the plan once it stands.

    What keeps a run from beginning (the objective does not load, the study was made meanwhile) is raised
    as ``UserError`` and leaves nothing behind.
    """
    try:
        return _execute(replan, make_order, view, draw, decided)
    finally:
        study_file.leave()


def _execute(
    replan: Callable[[], Launch],
    make_order: Callable[[Launch], LoadOrder],
    view: View,
    draw: Draw,
    decided: Callable[[Launch], None],
) -> Outcome:
    launch, beginning = settle(replan(), replan, view.note)
    decided(launch)
    if launch.is_over:
        return _over(launch, view)
    lending = Lending(launch, view.note)
    logs = [launch.log_of(slot.index) for slot in launch.share.slots]
    with StopRequests() as stops, logs_on_this_node(logs, launch.spec.scratch):
        agent = None
        try:
            agent = Agent(launch, make_order(launch), view, stops, lending.open)
            ending = agent.run(lambda: _begun(launch, beginning, view))
            if agent.handle is None:
                return Outcome(launch.rank, ending, stops.count, launch.paths, None, None)
            return _conclude(launch, agent.handle, ending, stops, draw, view)
        except (DBAPIError, StorageInternalError) as error:
            is_lasting = isinstance(error, DBAPIError) and not is_passing(error)
            what = "The database refuses what the run needs" if is_lasting else "The database was lost"
            raise RunFailed(f"{what}: {said(error)}. The same command goes on.") from error
        finally:
            lending.close()
            if beginning is not None and (agent is None or agent.handle is None):
                beginning.cancel()


def _over(launch: Launch, view: View) -> Outcome:
    """Others have finished the run: another task of the job, or the job itself before it was requeued."""
    view.note(f"Run {launch.run_id} is finished.")
    summary = _summary(launch, None, launch.spec.study_name)
    return Outcome(launch.rank, Ending(FINISHED), 0, launch.paths, summary, None)


def _begun(launch: Launch, beginning: Beginning | None, view: View) -> RunHandle:
    run = begin(launch)
    if beginning is not None:
        beginning.done()
    for note in study_file.keep(launch.storage_url):
        view.note(note)
    return run


def _conclude(
    launch: Launch, run: RunHandle, ending: Ending, stops: StopRequests, draw: Draw, view: View
) -> Outcome:
    """The last agent ends the run and writes its files."""
    written = None
    ending = _settled(run, ending)
    if _is_last(launch, run, stops, view) and run.runs.end(run.run_id, ending.state, ending.reason):
        run.attempts.release_returned(run.run_id)
        if launch.spec.keep_top is not None and ending.state == FINISHED:
            remove_spare_folders(run, launch.paths.root, launch.spec.keep_top, view.note)
        summary = _summary(launch, run.database, run.current_name())
        if stops.count < 2:
            if draw != "none":
                view.note("Drawing the report …")
            written = write_results(summary, launch.paths, draw)
    else:
        _await_end(launch, run, ending, stops)
        ending = _settled(run, ending)  # the others may have spent what was left of the budget
        summary = _summary(launch, run.database, run.current_name())
    return Outcome(launch.rank, ending, stops.count, launch.paths, summary, written)


def _is_last(launch: Launch, run: RunHandle, stops: StopRequests, view: View) -> bool:
    """Whether no other agent takes part; the trials of those that are gone are given back.

    An agent of another host that has said nothing lately may be dead, and then nobody else would end the
    run: that is waited for, which takes a minute at most, unless somebody says stop at once.
    """
    n_looks = 0
    while (alive := run.others_alive()) is None and stops.count < 2:
        n_looks += 1
        if n_looks == _WORTH_A_LINE:
            view.note("The agent of another host says nothing; in a minute it is taken for dead.")
        time.sleep(_LOOK_S)
    if alive is False:
        run.free_the_dead(launch.spec.max_retries)
    return alive is False


def _await_end(launch: Launch, run: RunHandle, ending: Ending, stops: StopRequests) -> None:
    """Let the last agent of this launch end the run, so that all of them return the same.

    Only for so long as it takes the ranks to find that all is done: agents of other jobs may have hours left,
    and this one's allocation may be about to end.
    """
    wait_s = (_HURRY_S if ending.is_out_of_time else _END_S) if launch.rank.size > 1 else 0.0
    deadline = time.monotonic() + wait_s
    while stops.count == 0 and time.monotonic() < deadline and run.stored().record.state in UNENDED:
        time.sleep(_LOOK_S)


def _settled(run: RunHandle, ending: Ending) -> Ending:
    """A run whose budget was spent while it was being stopped is finished all the same."""
    n_trials = run.stored().record.n_trials
    if n_trials is not None and run.attempts.counts(run.run_id).get("ended", 0) >= n_trials:
        return Ending(FINISHED, ending.reason if ending.state == FINISHED else None)
    return ending


def _summary(launch: Launch, database: Database | None, study_name: str) -> Summary:
    """Of the study where it is to be read from now on."""
    url = study_file.copied_home(launch.storage_url)
    if database is None or url != launch.storage_url:
        database = open_database(url, creates=False)
    summary = summarise(database, study_name, url)
    if relay_file(url) is not None:  # when this is read, nobody lends it any more
        named = launch.spec.storage_url or sqlite_url(launch.paths.database)
        summary = replace(summary, storage_url=masked(named))
    return replace(summary, run_dir=launch.paths.root)
