"""Optuna's pruners with a cost that does not grow with the study: a study and a trial in, a decision out.

Optuna's own read all trials of a study at every report. On our storage these ask by SQL for what they need
and keep it up to date; the decisions are Optuna's, as its sources of version 5 say. On any other storage
they are Optuna's pruners. Copies and pickles carry the settings alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import cached_property
from types import SimpleNamespace
from typing import Any, Generic, TypeVar

from optuna import Study
from optuna.pruners import HyperbandPruner, MedianPruner, PercentilePruner, SuccessiveHalvingPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from orchestrator.sql.database import Database
from orchestrator.sql.turns import Turn
from orchestrator.storage.rung_values import RungValues
from orchestrator.storage.step_values import StepValues, last_step
from orchestrator.storage.study_history import StudyHistory
from orchestrator.storage.study_storage import StudyStorage

T = TypeVar("T")


class _Kept(Generic[T]):
    """What a pruner keeps about the study that it was asked about last; threads take turns at it."""

    def __init__(self, read: Callable[[Database, int], T]) -> None:
        self._read = read
        self.turn = Turn()
        self._history: StudyHistory | None = None  # tells studies apart, even one deleted and made again
        self._content: T | None = None

    def of(self, study: Study) -> T | None:
        """What is kept about this study; None when its storage is not ours."""
        storage = study._storage
        if not isinstance(storage, StudyStorage):
            return None
        history = storage.history(study._study_id)
        if self._content is None or self._history is not history:
            self._history, self._content = history, self._read(storage.database, study._study_id)
        return self._content

    def __reduce__(self) -> tuple[Any, ...]:
        return _Kept, (self._read,)


class FlatPercentilePruner(PercentilePruner):
    """Optuna's ``PercentilePruner`` with a table of reports by step.

    A trial that asks for the first time sees every trial that is complete by then; afterwards it may see
    the completion of others up to a second late.
    """

    @cached_property
    def _kept(self) -> _Kept[StepValues]:
        return _Kept(StepValues)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """As Optuna's."""
        with self._kept.turn:
            known = self._kept.of(study)
            return super().prune(study, trial) if known is None else self._decide(study, trial, known)

    def _decide(self, study: Study, trial: FrozenTrial, known: StepValues) -> bool:
        step = trial.last_step
        if step is None or not self._is_due(step, trial.intermediate_values):
            return False
        known.look(trial._trial_id)
        if known.n_complete < max(1, self._n_startup_trials):
            return False
        maximize = study.direction == StudyDirection.MAXIMIZE
        numbers = [value for value in trial.intermediate_values.values() if not math.isnan(value)]
        if not numbers:
            return True
        others = known.at(step)
        if len(others) < self._n_min_trials:
            return False
        if maximize:  # nothing is less or greater than NaN, which prunes nobody
            return max(numbers) < others.percentile(100 - self._percentile)
        return min(numbers) > others.percentile(self._percentile)

    def _is_due(self, step: int, reported: Iterable[int]) -> bool:
        """Whether this is the trial's first report in an interval of steps, counted from the warm-up on."""
        if step < self._n_warmup_steps:
            return False
        behind = (step - self._n_warmup_steps) % self._interval_steps
        return max((other for other in reported if other != step), default=-1) < step - behind


class FlatMedianPruner(MedianPruner, FlatPercentilePruner):
    """Optuna's ``MedianPruner`` with a table of reports by step; see :class:`FlatPercentilePruner`."""


class FlatSuccessiveHalvingPruner(SuccessiveHalvingPruner):
    """Optuna's ``SuccessiveHalvingPruner`` with a table of rungs. Rivals are seen at once."""

    @cached_property
    def _kept(self) -> _Kept[RungValues]:
        return _Kept(RungValues)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """As Optuna's."""
        with self._kept.turn:
            known = self._kept.of(study)
            if known is None:
                return super().prune(study, trial)
            return _climb(self, study, trial, known, lambda _: 0)


class FlatHyperbandPruner(HyperbandPruner):
    """Optuna's ``HyperbandPruner`` with a table of brackets and rungs. Rivals are seen at once."""

    @cached_property
    def _kept(self) -> _Kept[RungValues]:
        return _Kept(RungValues)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """As Optuna's."""
        with self._kept.turn:
            known = self._kept.of(study)
            if known is None:
                return super().prune(study, trial)
            if not self._has_brackets(study):
                return False
            pruner = self._pruners[self._get_bracket_id(study, trial)]
            return _climb(pruner, study, trial, known, lambda number: self._bracket_of(study, number))

    def _has_brackets(self, study: Study) -> bool:
        """Make the brackets; none while no complete trial says how many, or where steps are too few."""
        if self._max_resource == "auto":
            last = _last_step(study)
            if last is None:
                return False
            self._max_resource = last + 1
        if not self._pruners:
            self._try_initialization(study)
        return bool(self._pruners)

    def _bracket_of(self, study: Study, number: int) -> int:
        of_number: Any = SimpleNamespace(number=number)
        return self._get_bracket_id(study, of_number)


def _climb(
    pruner: SuccessiveHalvingPruner,
    study: Study,
    trial: FrozenTrial,
    known: RungValues,
    group_of: Callable[[int], int],
) -> bool:
    """``SuccessiveHalvingPruner.prune`` among the trials of the same group.

    Takes the trial up rung by rung as far as it has come; True where it is not good enough for the next.
    """
    step = trial.last_step
    if step is None or not _has_resource(pruner, study) or step < _promotion_step(pruner, 0):
        return False
    value, rung = trial.intermediate_values[step], _current_rung(trial)
    if step < _promotion_step(pruner, rung):
        return False
    if math.isnan(value):
        return True
    known.look(group_of)
    while step >= _promotion_step(pruner, rung):
        study._storage.set_trial_system_attr(trial._trial_id, _key(rung), value)
        if not _is_promoted(pruner, study, trial, known, (group_of(trial.number), _key(rung))):
            return True
        rung += 1
    return False


def _has_resource(pruner: SuccessiveHalvingPruner, study: Study) -> bool:
    """Set the first rung after the complete trials' last step, where it is not given and there are some."""
    if pruner._min_resource is None:
        last = _last_step(study)
        pruner._min_resource = None if last is None else max(last // 100, 1)
    return pruner._min_resource is not None


def _last_step(study: Study) -> int | None:
    storage = study._storage
    assert isinstance(storage, StudyStorage)
    return last_step(storage.database, study._study_id)


def _promotion_step(pruner: SuccessiveHalvingPruner, rung: int) -> int:
    assert pruner._min_resource is not None
    return int(pruner._min_resource * pruner._reduction_factor ** (pruner._min_early_stopping_rate + rung))


def _current_rung(trial: FrozenTrial) -> int:
    rung = 0
    while _key(rung) in trial.system_attrs:
        rung += 1
    return rung


def _key(rung: int) -> str:
    return f"completed_rung_{rung}"


def _is_promoted(
    pruner: SuccessiveHalvingPruner, study: Study, trial: FrozenTrial, known: RungValues, at: tuple[int, str]
) -> bool:
    """Whether the trial is among the best 1/reduction_factor at a rung, itself counted, or the very best."""
    step = trial.last_step
    assert step is not None
    value, rivals = trial.intermediate_values[step], known.rivals(at)
    count = len(rivals) + 1
    if count <= pruner._bootstrap_count:
        return False
    better = rivals.above(value) if study.direction == StudyDirection.MAXIMIZE else rivals.below(value)
    return better <= max(count // pruner._reduction_factor - 1, 0)
