"""Optuna's storage with a budget: a new trial costs a ticket, and its end closes an attempt."""

from __future__ import annotations

import uuid
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from orchestrator.errors import BudgetSpent
from orchestrator.storage.attempts import AttemptTable, Result, Seat
from orchestrator.storage.database import Database
from orchestrator.storage.study_storage import StudyStorage


class Listener(Protocol):
    """Who hears at once what a trial does (the agent, over a pipe; or the progress view)."""

    def reported(self, number: int, step: int, value: float) -> None:
        """The objective reported an intermediate value."""


@dataclass(slots=True)
class OpenAttempt:
    """The attempt that this process is at, and what is known about its end so far."""

    token: str
    trial_id: int
    number: int = -1
    cause: str = "returned"
    objective_s: float | None = None
    peak_rss_mib: float | None = None


class RunStorage(StudyStorage):
    """The storage of one worker of one run.

    Inside :meth:`ask` a new trial is a claim: ticket and trial in one transaction (``AttemptTable.claim``).
    Telling the trial ends trial and attempt in one transaction, refused with ``StaleAttempt`` when the
    attempt was declared lost meanwhile. All else is ``StudyStorage``, with its durability: parameters,
    reports and attributes are committed when their call returns.
    """

    def __init__(self, database: Database, study_id: int, seat: Seat, listener: Listener) -> None:
        super().__init__(database)
        self._attempts = AttemptTable(database, study_id)
        self._seat = seat
        self._listener = listener
        self._asking = False
        self.current: OpenAttempt | None = None

    def ask(self, study: optuna.Study) -> Trial:
        """The next trial of the run; ``BudgetSpent`` when there is none."""
        with self._claiming():
            trial = study.ask()
        assert self.current is not None
        self.current.number = trial.number
        return trial

    @contextmanager
    def _claiming(self) -> Iterator[None]:
        self._asking = True
        try:
            yield
        finally:
            self._asking = False

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Inside :meth:`ask` a claim; elsewhere (``study.enqueue_trial`` in an objective) Optuna's own."""
        if not self._asking or template_trial is not None:
            return super().create_new_trial(study_id, template_trial)
        token = uuid.uuid4().hex
        trial_id = self._attempts.claim(self._seat, token)
        if trial_id is None:
            raise BudgetSpent("every ticket of the run is taken")
        self.current = OpenAttempt(token, trial_id)
        return trial_id

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Optuna's, except that ``Study.ask`` finds no waiting trial: those are claimed with a ticket too."""
        if self._asking and self.current is None and states == (TrialState.WAITING,):
            return []
        return super().get_all_trials(study_id, deepcopy, states)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """The end of our own trial closes its attempt in the same transaction."""
        mine = self.current
        if mine is None or mine.trial_id != trial_id or not state.is_finished():
            return super().set_trial_state_values(trial_id, state, values)
        result = Result(state, values, mine.cause, mine.objective_s, mine.peak_rss_mib)
        self._attempts.finish(mine.token, trial_id, result)
        return True

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Optuna's, and the listener hears of it."""
        super().set_trial_intermediate_value(trial_id, step, intermediate_value)
        if self.current is not None and self.current.trial_id == trial_id:
            self._listener.reported(self.current.number, step, float(intermediate_value))

    def leave(self) -> None:
        """The trial is told, or given up: this worker is at none."""
        self.current = None
