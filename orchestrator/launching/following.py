"""What a search in the caller's own process is told by its trial loop: events in; a view and a count out."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from affinity import format_list
from orchestrator.agent.running_trial import RunningTrial
from orchestrator.agent.slot_time import SlotTime
from orchestrator.agent.tally import Tally
from orchestrator.agent.walltime import Walltime, seconds_until
from orchestrator.launching.own_slot import OwnSlot
from orchestrator.progress import View
from orchestrator.records import SlotRecord
from orchestrator.snapshot import BusySlot, Snapshot, in_words
from orchestrator.spec import RunSpec
from orchestrator.stop import StopRequests
from orchestrator.storage.claims import Claim
from orchestrator.trial_loop import TrialOutcome


class Following:
    """The trial loop's events, counted and shown here."""

    def __init__(self, spec: RunSpec, slot: OwnSlot, view: View, stops: StopRequests) -> None:
        self.tally = Tally(minimize=spec.directions[0] == "minimize")
        self.stops = stops
        self.walltime = Walltime(spec, os.environ)
        self.out_of_time = ""  # why, if no further trial is to begin
        self._spec = spec
        self._slot = slot
        self._view = view
        self._trial: RunningTrial | None = None
        self._spent = SlotTime()
        self._spent.starts()
        self._cpus = format_list(slot.allowance.pus)

    def may_go_on(self) -> bool:
        """Whether another trial is to begin."""
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

    # The events of the loop and of its storage: see ``trial_loop.Events`` and ``run_storage.Listener``.

    def claimed(self, claim: Claim) -> None:
        """Shown as the running trial."""
        self._spent.has_started()
        self._trial = RunningTrial(claim.number, claim.trial_id, claim.token, time.monotonic())
        self._view.refresh(self.snapshot())

    def sampled(self, params: Mapping[str, Any]) -> None:
        """Nobody else must know of it: what is lost here is lost with this process."""

    def suggested(self, name: str, internal: float, distribution: str) -> None:
        """Likewise."""

    def stored(self, names: Sequence[str]) -> None:
        """Likewise."""

    def waiting(self, is_waiting: bool) -> None:
        """Never: the database is in this process."""

    def dropped(self) -> None:
        """No trial is running any more."""
        self._trial = None

    def noted(self, text: str) -> None:
        """Said to people."""
        self._view.note(text)

    def reported(self, number: int, step: int, value: float) -> None:
        """Shown with the running trial."""
        if self._trial is not None:
            self._trial.step, self._trial.value = step, value
        self._view.refresh(self.snapshot())

    def told(self, number: int, outcome: TrialOutcome, objective_s: float, params: Mapping[str, Any]) -> None:
        """Counted and shown."""
        data = {
            "number": number,
            "state": outcome.state.name,
            "values": outcome.values,
            "error": outcome.error,
            "params": in_words(params),
        }
        self._trial = None
        self._spent.busy_s += objective_s
        self.walltime.heard({**data, "objective_s": objective_s})
        self.tally.told(data)
        self._view.told(data, 0)

    def record(self) -> SlotRecord:
        """What this process had and did."""
        return replace(
            self._slot.seen(),
            n_trials=self.tally.finished,
            busy_s=self._spent.busy_s,
            alive_s=time.monotonic() - self.tally.start_s,
            starting_s=self._spent.starting_s,
            waited_s=0.0,  # its database is in its own memory
            lost_s=0.0,
        )

    def say_how_it_ended(self) -> None:
        """An interrupt is not an error here, so that what was found is not lost; but it is said."""
        of = f" of {self._spec.n_trials}" if self._spec.n_trials is not None else ""
        if self.stops.count:
            self._view.note(f"The search was {self.stops.reason} after {self.tally.finished}{of} trials.")
        elif self.out_of_time and self.is_unfinished():
            self._view.note(f"Stopped after {self.tally.finished}{of} trials: {self.out_of_time}.")

    def is_unfinished(self) -> bool:
        """Whether trials are left of the budget, or only time ends the search."""
        return self._spec.n_trials is None or self.tally.finished < self._spec.n_trials

    def snapshot(self) -> Snapshot:
        """How it stands, for a view."""
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
        return BusySlot(0, self._slot.host, self._cpus, trial.number, trial.step, trial.value, trial.ran_s)

    def _time_left_s(self) -> float | None:
        timeout_s = math.inf if self._spec.timeout_s is None else self._spec.timeout_s
        return seconds_until(self.tally.start_s + timeout_s, self.walltime.release_at_s)
