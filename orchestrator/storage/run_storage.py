"""Optuna's storage with a budget: a new trial costs a ticket, and its end closes an attempt."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.trial import FrozenTrial, Trial, TrialState

from orchestrator.errors import BudgetSpent
from orchestrator.sql.database import Database
from orchestrator.sql.schema import (
    trial_intermediate_values,
    trial_params,
    trial_system_attributes,
    trial_user_attributes,
)
from orchestrator.storage.attempts import Seat
from orchestrator.storage.claims import Claims
from orchestrator.storage.own_trial import RELATIVE, OwnTrial, new_trial
from orchestrator.storage.rows import (
    ATTRIBUTE_KEY,
    PARAM_KEY,
    STEP_KEY,
    attribute_row,
    intermediate_row,
    param_row,
)
from orchestrator.storage.study_history import StudyHistory
from orchestrator.storage.study_storage import StudyStorage, open_storage
from orchestrator.storage.trial_writer import Batch, TrialWriter


class Listener(Protocol):
    """Who hears at once what a trial does (the agent, over a pipe; or the progress view)."""

    def suggested(self, name: str, internal: float, distribution: str) -> None:
        """A parameter was suggested and is not stored yet: its internal value, its distribution as JSON."""

    def stored(self, names: Sequence[str]) -> None:
        """These parameters are stored now."""

    def reported(self, number: int, step: int, value: float) -> None:
        """The objective reported an intermediate value."""

    def waiting(self, is_waiting: bool) -> None:
        """The trial begins, or ends, to wait for a database that is away: that is no time of its own."""


class RunStorage(StudyStorage):
    """The storage of one worker of one run.

    Inside :meth:`ask` a new trial is a claim: ticket and trial in one transaction. Telling the trial ends
    trial and attempt in one transaction. What is written to it between is refused with ``StaleAttempt`` once
    the attempt was declared lost. The trial itself is kept here: reading it asks no database.

    **Durability.** As ``StudyStorage``'s, but for the parameters of the trial at hand, which are written in
    one statement with the first report, attribute or end that follows. Until then they are with the agent,
    which hears of each at once and writes them after a second, or when this process dies. So the loss of a
    process loses none; the loss of a whole node may lose the parameters of its last second, and the trial is
    then sampled anew when another node takes it. What TPE tells other workers of a trial
    (``tpe:relative_params``) is written with the parameters, if not all of it was asked for by then.
    """

    def __init__(self, database: Database, study_id: int, seat: Seat, listener: Listener) -> None:
        super().__init__(database)
        self._claims = Claims(database, study_id)
        self._writer = TrialWriter(database)
        self._seat = seat
        self._listener = listener
        database.tell_of_waiting(listener.waiting)
        self._asking = False
        self.current: OwnTrial | None = None
        self._ended: OwnTrial | None = None  # the trial before, which ``Study.tell`` asks for once more

    def __reduce__(self) -> tuple[Callable[[str], StudyStorage], tuple[str]]:
        """A copy in another process is a plain storage: it holds no attempt."""
        self.flush()
        return open_storage, (self.database.url,)

    def ask(self, study: optuna.Study) -> Trial:
        """The next trial of the run; ``BudgetSpent`` when there is none."""
        with self._claiming():
            return study.ask()

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
        claim = self._claims.claim(self._seat)
        if claim is None:
            raise BudgetSpent("every ticket of the run is taken")
        history = self.history(study_id)
        trial = history.one(claim.trial_id) if claim.start is None else new_trial(claim)
        self._study_of[claim.trial_id] = study_id
        self.current = OwnTrial(claim, trial)
        return claim.trial_id

    def history(self, study_id: int) -> StudyHistory:
        """``StudyStorage``'s, in which the trial at hand is as this process knows it."""
        history = super().history(study_id)
        history.own = self._snapshot
        return history

    def _snapshot(self) -> FrozenTrial | None:
        return self.current.snapshot() if self.current is not None else None

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Optuna's; the trial at hand without asking the database."""
        for own in (self.current, self._ended):
            if own is not None and own.claim.trial_id == trial_id:
                return own.snapshot()
        return super().get_trial(trial_id)

    def _mine(self, trial_id: int) -> OwnTrial | None:
        current = self.current
        return current if current is not None and current.claim.trial_id == trial_id else None

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Optuna's, except that ``Study.ask`` finds no waiting trial: those are claimed with a ticket too."""
        if self._asking and self.current is None and states == (TrialState.WAITING,):
            return []
        return super().get_all_trials(study_id, deepcopy, states)

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """Optuna's; that of the trial at hand is held back a little (see the class)."""
        mine = self._mine(trial_id)
        if mine is None:
            super().set_trial_param(trial_id, param_name, param_value_internal, distribution)
            return
        self.check_distribution(self._study_of_trial(trial_id), param_name, distribution)
        if param_name in mine.trial.params:
            return
        text = distribution_to_json(distribution)
        row = param_row(trial_id, param_name, param_value_internal, text)
        if _fits_anywhere(param_name, text):
            mine.hold_param(row)
            self._listener.suggested(param_name, param_value_internal, text)
        else:  # if the database refuses it, the objective is to hear it here
            self._write(mine, Batch(trial_params, [row], PARAM_KEY, keep=True))
        mine.learn_param(param_name, param_value_internal, distribution)

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Optuna's, and the listener hears of it."""
        mine = self._mine(trial_id)
        if mine is None:
            super().set_trial_intermediate_value(trial_id, step, intermediate_value)
            return
        row = intermediate_row(trial_id, step, intermediate_value)
        self._write(mine, Batch(trial_intermediate_values, [row], STEP_KEY))
        mine.trial.intermediate_values[step] = intermediate_value
        self._listener.reported(mine.claim.number, step, float(intermediate_value))

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Optuna's."""
        mine = self._mine(trial_id)
        if mine is None:
            super().set_trial_user_attr(trial_id, key, value)
            return
        row = attribute_row(trial_id, key, value)
        self._write(mine, Batch(trial_user_attributes, [row], ATTRIBUTE_KEY))
        mine.trial.user_attrs[key] = json.loads(row["value_json"])

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Optuna's; what TPE says of the trial at hand is held back with its parameters."""
        mine = self._mine(trial_id)
        if mine is None:
            super().set_trial_system_attr(trial_id, key, value)
        elif key.startswith(RELATIVE):
            mine.hold_relative(key, value)
        else:
            row = attribute_row(trial_id, key, value)
            self._write(mine, Batch(trial_system_attributes, [row], ATTRIBUTE_KEY))
            mine.trial.system_attrs[key] = json.loads(row["value_json"])

    def _write(self, mine: OwnTrial, *batches: Batch) -> None:
        """Write to the trial at hand, with what was held back."""
        held = mine.held()
        if held.batches() or batches:
            self._writer.write(mine.claim, [*held.batches(), *batches])
        mine.is_written(held)
        if held.params:
            self._listener.stored([row["param_name"] for row in held.params])

    def flush(self) -> None:
        """Write what is held back."""
        if self.current is not None:
            self._write(self.current)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """The end of the trial at hand closes its attempt in the same transaction."""
        mine = self._mine(trial_id)
        if mine is None or not state.is_finished():
            return super().set_trial_state_values(trial_id, state, values)
        result = mine.result(state, values)
        history = self.history(self._study_of_trial(trial_id))
        is_ours = self._writer.finish(mine.claim, result, mine.held().batches())
        self.current, self._ended = None, mine if is_ours else None
        self._study_of.pop(trial_id, None)
        if is_ours:
            mine.end(result)
            history.end_own(mine.trial)
        return True

    def has_ended(self, trial_id: int) -> bool:
        """Whether the trial at hand before was ended by us; else somebody else's result counts."""
        return self._ended is not None and self._ended.claim.trial_id == trial_id

    def leave(self) -> None:
        """The trial is another worker's by now: this one is at none."""
        self.current = None


def _fits_anywhere(name: str, distribution: str) -> bool:
    """Whether every database surely takes this parameter: its columns have limits and character sets."""
    return name.isascii() and "\0" not in name and len(name) <= 512 and len(distribution) <= 60_000
