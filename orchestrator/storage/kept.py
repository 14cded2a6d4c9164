"""Whose folders stay: numbers of trials in; those that a run is done with, or that are the best, out."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import PurePath
from typing import TYPE_CHECKING

import sqlalchemy as sa
from optuna.study import StudyDirection
from optuna.study._constrained_optimization import _CONSTRAINTS_KEY
from optuna.trial import TrialState

from orchestrator.sql.schema import attempts, trial_system_attributes, trial_values, trials
from orchestrator.storage.rows import number_of, ranked_trials
from orchestrator.storage.study_rows import BATCH, directions_of

if TYPE_CHECKING:
    import numpy as np

_DONE = (TrialState.COMPLETE, TrialState.PRUNED)  # a failed trial's folder may tell why it failed


def done_with(c: sa.Connection, run_id: str, study_id: int, numbers: Collection[int]) -> set[int]:
    """Those of the trials that the run has finished, complete or pruned: no attempt will be made at them."""
    found: set[int] = set()
    for some in _batches(numbers):
        query = (
            sa.select(trials.c.number)
            .join(attempts, attempts.c.trial_id == trials.c.trial_id)
            .where(trials.c.study_id == study_id, trials.c.number.in_(some), trials.c.state.in_(_DONE))
            .where(attempts.c.run_id == run_id, attempts.c.state == "ended")
        )
        found.update(c.execute(query).scalars())
    return found


def among_the_best(c: sa.Connection, study_id: int, numbers: Collection[int], n: int) -> set[int]:
    """Those of the trials that are among the ``n`` best of the study, of equally good ones the earliest.

    Where trials have constraints, they stay that are among the ``n`` best feasible ones as well. With several
    objectives it is the Pareto front, however many they are. Who has left the best never comes back: trials
    are only added.
    """
    directions = directions_of(c, study_id)
    if len(directions) > 1:
        return _not_dominated(c, study_id, numbers, directions)
    infeasible = _infeasible(c, study_id)
    query = ranked_trials(study_id, directions[0]).limit(n + len(infeasible))
    ranked = [row.number for row in c.execute(query)]
    feasible = [number for number in ranked if number not in infeasible]
    return {*ranked[:n], *feasible[:n]} & set(numbers)


def claimed_folders(c: sa.Connection, study_id: int, key: str) -> set[str]:
    """Names of the folders that waiting, running and failed trials say are theirs (attribute ``key``)."""
    query = (
        sa.select(trial_system_attributes.c.value_json)
        .join(trial_system_attributes, trial_system_attributes.c.trial_id == trials.c.trial_id)
        .where(trials.c.study_id == study_id, trials.c.state.not_in(_DONE))
        .where(trial_system_attributes.c.key == key)
    )
    return {PurePath(str(json.loads(text))).name for text in c.execute(query).scalars()}


def _infeasible(c: sa.Connection, study_id: int) -> set[int]:
    """Complete trials that break a constraint, as Optuna's samplers keep them: above 0."""
    query = (
        sa.select(trials.c.number, trial_system_attributes.c.value_json)
        .join(trial_system_attributes, trial_system_attributes.c.trial_id == trials.c.trial_id)
        .where(trials.c.study_id == study_id, trials.c.state == TrialState.COMPLETE)
        .where(trial_system_attributes.c.key == _CONSTRAINTS_KEY)
    )
    return {number for number, text in c.execute(query) if any(v > 0 for v in json.loads(text) or ())}


def _not_dominated(
    c: sa.Connection, study_id: int, numbers: Collection[int], directions: list[StudyDirection]
) -> set[int]:
    import numpy as np

    by_number = _losses(c, study_id, directions)
    everyone = np.array(list(by_number.values()))
    return {n for n in numbers if n in by_number and not _is_dominated(np.array(by_number[n]), everyone)}


def _is_dominated(one: np.ndarray, everyone: np.ndarray) -> bool:
    return bool(((everyone <= one).all(axis=1) & (everyone < one).any(axis=1)).any())


def _losses(c: sa.Connection, study_id: int, directions: list[StudyDirection]) -> dict[int, list[float]]:
    """The values of all complete trials by number, turned so that less is better."""
    query = (
        sa.select(trials.c.number, trial_values.c.value, trial_values.c.value_type, trial_values.c.objective)
        .join(trial_values, trial_values.c.trial_id == trials.c.trial_id)
        .where(trials.c.study_id == study_id, trials.c.state == TrialState.COMPLETE)
        .order_by(trials.c.number, trial_values.c.objective)
    )
    found: dict[int, list[float]] = {}
    for number, value, kind, objective in c.execute(query):
        sign = -1 if directions[objective] is StudyDirection.MAXIMIZE else 1
        found.setdefault(number, []).append(sign * number_of(value, kind))
    return {number: losses for number, losses in found.items() if len(losses) == len(directions)}


def _batches(numbers: Collection[int]) -> Iterator[list[int]]:
    some = sorted(numbers)
    for start in range(0, len(some), BATCH):
        yield some[start : start + BATCH]
