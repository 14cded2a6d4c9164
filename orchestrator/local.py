"""A search in the caller's own process and in memory: no worker, no files; closures and notebooks just work.

The trial loop, the budget and the storage are those of every run. A process that dies takes the search with
it: there is nobody to retry its trial.
"""

from __future__ import annotations

import math
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import optuna

from affinity import Binding, format_list, observe, read_allowance, read_topology
from orchestrator.begin import new_study, seed_of
from orchestrator.causes import Cause
from orchestrator.errors import RunFailed
from orchestrator.host import this_process
from orchestrator.objective import Objective
from orchestrator.orders import WorkOrder
from orchestrator.origin import MEMORY, Origin
from orchestrator.progress import View
from orchestrator.records import PoolRecord, SlotRecord
from orchestrator.run_handle import RunHandle
from orchestrator.run_study import open_run_study
from orchestrator.running_trial import RunningTrial
from orchestrator.snapshot import BusySlot, Snapshot, in_words
from orchestrator.spec import RunSpec
from orchestrator.sql.opening import open_database
from orchestrator.stop import StopRequests
from orchestrator.storage.attempts import Loss
from orchestrator.storage.claims import Claim
from orchestrator.storage.runs import FAILED, FINISHED, STOPPED, RunTable
from orchestrator.storage.study_storage import StudyStorage
from orchestrator.summarise import summarise
from orchestrator.summary import Summary
from orchestrator.tally import Tally
from orchestrator.tools import Tools
from orchestrator.trial_loop import TrialOutcome, run_trials
from orchestrator.walltime import Walltime, seconds_until


def search_here(
    objective: Objective, spec: RunSpec, tools: Tools, view: View, origin: Origin | None = None
) -> Summary:
    """Run the trials of ``spec`` here, one after the other, and return what came out.

    They are added to the study of ``origin``, if there is one. The first Ctrl-C ends the search after the
    running trial; the second raises ``KeyboardInterrupt`` at once.
    """
    run = _begin(spec, origin)
    with StopRequests(raises=True) as stops:
        following = _Following(spec, view, stops)
        following.tally.begin(0, run.best())
        study, storage = open_run_study(_order(spec, run), tools, following, run.database)
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


def _begin(spec: RunSpec, origin: Origin | None) -> RunHandle:
    database = open_database(MEMORY) if origin is None else origin.database
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    run_id, agent_id = uuid.uuid4().hex, uuid.uuid4().hex
    runs = RunTable(database)
    study = new_study(spec) if origin is None else origin.study_id
    seed = spec.seed if spec.seed is not None else seed_of(runs, study)
    runs.create(run_id, study, spec, seed)
    study_id = StudyStorage(database).get_study_id_from_name(spec.study_name)
    runs.register_agent(agent_id, run_id, 0, this_process())
    return RunHandle(database, MEMORY, spec.study_name, study_id, run_id, agent_id, seed, joined=False)


def _order(spec: RunSpec, run: RunHandle) -> WorkOrder:
    topology = read_topology()
    pus = read_allowance(topology).pus
    return WorkOrder(
        storage_url=MEMORY,
        storage_patience_s=spec.storage_patience_s,
        study_name=spec.study_name,
        run_id=run.run_id,
        agent_id=run.agent_id,
        seed=run.seed,
        sampler=spec.sampler,
        sampler_args=spec.sampler_args,
        pruner=spec.pruner,
        pruner_args=spec.pruner_args,
        slot=0,
        cpu_model=topology.cpu_model,
        binding=Binding(pus, (), len(pus)),
    )


def _end(run: RunHandle, spec: RunSpec, following: _Following) -> Summary:
    failure = following.tally.all_fail_alike()
    stopped = following.stops.reason or (following.out_of_time if _is_unfinished(spec, following) else "")
    state = FAILED if failure else STOPPED if stopped else FINISHED
    run.runs.end(run.run_id, state, failure or stopped or None)
    run.runs.end_agent(run.agent_id, {"slots": [asdict(following.record())]})
    if failure and following.tally.finished < (spec.n_trials or following.tally.finished + 1):
        raise RunFailed(f"The search stopped early: the first {failure}.")
    return summarise(run.database, spec.study_name, MEMORY)


def _is_unfinished(spec: RunSpec, following: _Following) -> bool:
    return spec.n_trials is None or following.tally.finished < spec.n_trials


class _Following:
    """The trial loop's events, counted and shown here."""

    def __init__(self, spec: RunSpec, view: View, stops: StopRequests) -> None:
        self.tally = Tally(minimize=spec.directions[0] == "minimize")
        self.stops = stops
        self.walltime = Walltime(spec, os.environ)
        self.out_of_time = ""  # why, if no further trial is to begin
        self._spec = spec
        self._view = view
        self._trial: RunningTrial | None = None
        self._busy_s = 0.0
        self._host = this_process().host
        self._cpus = format_list(read_allowance(read_topology()).pus)

    def may_go_on(self) -> bool:
        elapsed_s = time.monotonic() - self.tally.start_s
        in_time = self._spec.timeout_s is None or elapsed_s < self._spec.timeout_s
        self.walltime.look()
        if not self.walltime.may_begin():
            self.out_of_time = self.walltime.why_not()
        is_stopped = self.stops.count > 0 or bool(self.out_of_time)
        return in_time and not is_stopped and self.tally.all_fail_alike() is None

    def is_short(self) -> bool:
        """Whether the running trial is to hurry: the walltime ends."""
        self.walltime.look()
        return self.walltime.is_short()

    def claimed(self, claim: Claim) -> None:
        self._trial = RunningTrial(claim.number, claim.trial_id, claim.token, time.monotonic())
        self._view.refresh(self.snapshot())

    def sampled(self, params: Mapping[str, Any]) -> None:
        pass

    def suggested(self, name: str, internal: float, distribution: str) -> None:
        pass

    def stored(self, names: Sequence[str]) -> None:
        pass

    def waiting(self, is_waiting: bool) -> None:
        pass

    def dropped(self) -> None:
        self._trial = None

    def noted(self, text: str) -> None:
        self._view.note(text)

    def reported(self, number: int, step: int, value: float) -> None:
        if self._trial is not None:
            self._trial.step, self._trial.value = step, value
        self._view.refresh(self.snapshot())

    def told(self, number: int, outcome: TrialOutcome, objective_s: float, params: Mapping[str, Any]) -> None:
        data = {
            "number": number,
            "state": outcome.state.name,
            "values": outcome.values,
            "error": outcome.error,
            "params": in_words(params),
        }
        self._trial = None
        self._busy_s += objective_s
        self.walltime.heard({**data, "objective_s": objective_s})
        self.tally.told(data)
        self._view.told(data, 0)

    def record(self) -> SlotRecord:
        """What this process, which nobody has bound, had and did."""
        seen = observe()
        cpus = format_list(seen.pus)
        return SlotRecord(
            rank=0,
            host=this_process().host,
            slot=0,
            cpus=cpus,
            numa_nodes=(),
            threads=len(seen.pus),
            got_cpus=cpus,
            got_pools=tuple(PoolRecord(pool.library, pool.threads) for pool in seen.pools),
            problems=(),
            n_trials=self.tally.finished,
            n_lost=0,
            busy_s=self._busy_s,
            alive_s=time.monotonic() - self.tally.start_s,
        )

    def say_how_it_ended(self) -> None:
        """An interrupt is not an error here, so that what was found is not lost; but it is said."""
        of = f" of {self._spec.n_trials}" if self._spec.n_trials is not None else ""
        if self.stops.count:
            self._view.note(f"The search was {self.stops.reason} after {self.tally.finished}{of} trials.")
        elif self.out_of_time and _is_unfinished(self._spec, self):
            self._view.note(f"Stopped after {self.tally.finished}{of} trials: {self.out_of_time}.")

    def snapshot(self) -> Snapshot:
        return Snapshot(
            study=self._spec.study_name,
            total=self._spec.n_trials,
            running=[self._at_work()] if self._trial is not None else [],
            starting=0,
            n_slots=1,
            time_left_s=self._time_left_s(),
            **self.tally.numbers(),
        )

    def _at_work(self) -> BusySlot:
        assert self._trial is not None
        trial = self._trial
        return BusySlot(0, self._host, self._cpus, trial.number, trial.step, trial.value, trial.ran_s)

    def _time_left_s(self) -> float | None:
        timeout_s = math.inf if self._spec.timeout_s is None else self._spec.timeout_s
        return seconds_until(self.tally.start_s + timeout_s, self.walltime.release_at_s)
