"""A search in the caller's own process and in memory: no worker, no files; closures and notebooks just work.

The trial loop, the budget and the storage are those of every run. A process that dies takes the search with
it: there is nobody to retry its trial.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import asdict

import optuna

from orchestrator.causes import Cause
from orchestrator.errors import RunFailed
from orchestrator.host import this_process
from orchestrator.launching.begin import new_study, seed_of
from orchestrator.launching.following import Following
from orchestrator.launching.origin import MEMORY, Origin
from orchestrator.launching.own_slot import OwnSlot
from orchestrator.objective import Objective
from orchestrator.orders import WorkOrder
from orchestrator.progress import View
from orchestrator.run_handle import RunHandle
from orchestrator.run_study import open_run_study
from orchestrator.spec import RunSpec
from orchestrator.sql.opening import open_database
from orchestrator.stop import StopRequests
from orchestrator.storage.attempts import Loss
from orchestrator.storage.runs import FAILED, FINISHED, STOPPED, RunTable
from orchestrator.storage.study_storage import StudyStorage
from orchestrator.summarise import summarise
from orchestrator.summary import Summary
from orchestrator.tools import Tools
from orchestrator.trial_loop import run_trials


def search_here(
    objective: Objective, spec: RunSpec, tools: Tools, view: View, origin: Origin | None = None
) -> Summary:
    """Run the trials of ``spec`` here, one after the other, and return what came out.

    They are added to the study of ``origin``, if there is one. The first Ctrl-C ends the search after the
    running trial; the second raises ``KeyboardInterrupt`` at once.
    """
    slot = OwnSlot.read(this_process().host)
    run = _begin(spec, origin, slot)
    with StopRequests(raises=True) as stops:
        following = Following(spec, slot, view, stops)
        following.tally.begin(0, run.best())
        study, storage = open_run_study(_order(spec, run, slot), tools, following, run.database)
        study.was_interrupted = lambda: stops.count > 0 or following.is_short()
        try:
            callbacks = tools.get("callbacks", ())
            run_trials(study, storage, objective, run.seed, following, following.may_go_on, callbacks)
        finally:
            if storage.current is not None:  # interrupted in the middle of a trial
                storage.flush()
                claim = storage.current.claim
                run.attempts.release(claim.token, claim.trial_id, Loss(Cause.INTERRUPTED))
            following.walltime.close()
            view.close(following.snapshot())
    following.say_how_it_ended()
    return _end(run, spec, following)


def _begin(spec: RunSpec, origin: Origin | None, slot: OwnSlot) -> RunHandle:
    database = open_database(MEMORY) if origin is None else origin.database
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    run_id, agent_id = uuid.uuid4().hex, uuid.uuid4().hex
    runs = RunTable(database)
    study = new_study(spec) if origin is None else origin.study_id
    seed = spec.seed if spec.seed is not None else seed_of(runs, study)
    runs.create(run_id, study, spec, seed)
    study_id = StudyStorage(database).get_study_id_from_name(spec.study_name)
    runs.register_agent(agent_id, run_id, 0, this_process(), machine=slot.report(os.environ))
    return RunHandle(database, MEMORY, spec.study_name, study_id, run_id, agent_id, seed, joined=False)


def _order(spec: RunSpec, run: RunHandle, slot: OwnSlot) -> WorkOrder:
    cpu_model = slot.topology.cpu_model
    return WorkOrder.of(spec, run, storage_url=MEMORY, slot=0, cpu_model=cpu_model, binding=slot.binding)


def _end(run: RunHandle, spec: RunSpec, following: Following) -> Summary:
    failure = following.tally.all_fail_alike()
    stopped = following.stops.reason or (following.out_of_time if following.is_unfinished() else "")
    state = FAILED if failure else STOPPED if stopped else FINISHED
    run.runs.end(run.run_id, state, failure or stopped or None)
    run.runs.end_agent(run.agent_id, {"slots": [asdict(following.record())]})
    if failure and following.tally.finished < (spec.n_trials or following.tally.finished + 1):
        raise RunFailed(f"The search stopped early: the first {failure}.")
    return summarise(run.database, spec.study_name, MEMORY)
