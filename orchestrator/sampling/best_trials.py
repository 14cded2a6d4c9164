"""The best of a growing number of trials: finished trials in, one by one; those that TPE takes for good out.

TPE builds its density of good trials from the best few alone (``default_gamma``), in this order: feasible
complete ones by value, pruned ones by how far they came and their value there, infeasible ones by violation.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Protocol

import numpy as np
from optuna.samplers._tpe.sampler import default_gamma, default_gamma_multiobjective
from optuna.study import StudyDirection
from optuna.study._multi_objective import _fast_non_domination_rank
from optuna.trial import FrozenTrial, TrialState

_ROOM = 200  # trials of the first ranks from which the best of several objectives are chosen


class BestTrials(Protocol):
    """What :class:`BestOfOne` and :class:`BestOfSeveral` do."""

    def offer(self, trial: FrozenTrial) -> None:
        """A trial that has ended, COMPLETE or PRUNED."""

    def best(self) -> list[FrozenTrial]:
        """The best of those offered, as many as TPE asks for."""


def best_trials(directions: Sequence[StudyDirection], shown: int) -> BestTrials:
    """A keeper of those that TPE takes for good of ``shown`` trials that have such objectives."""
    if len(directions) > 1:
        return BestOfSeveral(directions, default_gamma_multiobjective(shown))
    return BestOfOne(directions[0], default_gamma(shown))


class Smallest:
    """The trials with the ``room`` smallest keys among those offered. No two keys are equal."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._kept: list[tuple[Any, FrozenTrial]] = []  # by key

    def __len__(self) -> int:
        return len(self._kept)

    def offer(self, key: Any, trial: FrozenTrial) -> None:
        """Keep the trial if it belongs to them."""
        if len(self._kept) < self._room or key < self._kept[-1][0]:
            insort(self._kept, (key, trial), key=itemgetter(0))
            del self._kept[self._room :]

    def trials(self) -> list[FrozenTrial]:
        """Those kept, by rising key."""
        return [trial for _, trial in self._kept]


class BestOfOne:
    """The best trials of a study with one objective: exactly those, whatever the order they came in."""

    def __init__(self, direction: StudyDirection, room: int) -> None:
        self._sign = _sign(direction)
        self._room = room
        self._n_complete = 0  # feasible ones
        self._best = Smallest(room)

    def offer(self, trial: FrozenTrial) -> None:
        """As the protocol says."""
        violation = _violation(trial)
        if violation > 0:
            key = (2.0, violation, 0.0, trial.number)
        elif trial.state is TrialState.COMPLETE:
            self._n_complete += 1
            key = (0.0, self._sign * (trial.value or 0.0), 0.0, trial.number)
        elif self._n_complete < self._room:
            key = (1.0, *_progress(trial, self._sign), trial.number)
        else:  # no pruned trial will ever be among the best: its reports need not be read
            return
        self._best.offer(key, trial)

    def best(self) -> list[FrozenTrial]:
        """As the protocol says."""
        return self._best.trials()


class BestOfSeveral:
    """The best trials of a study with several objectives.

    The first ranks are kept until they are more than twice ``_ROOM``, and are then cut to ``_ROOM`` by rank
    and by how far they lie apart: from there on what is kept depends on the order in which trials ended.
    """

    def __init__(self, directions: Sequence[StudyDirection], n_best: int) -> None:
        self._n_best = n_best
        self._signs = np.array([_sign(direction) for direction in directions])
        self._front: list[FrozenTrial] = []
        self._bar: np.ndarray | None = None  # losses of the worst rank kept: who is no better stays out
        self._others = Smallest(n_best)
        self._best: list[FrozenTrial] | None = None

    def offer(self, trial: FrozenTrial) -> None:
        """As the protocol says."""
        violation = _violation(trial)
        if violation > 0 or trial.state is not TrialState.COMPLETE:
            self._others.offer((violation, trial.number), trial)
        elif self._bar is not None and (self._bar <= self._signs * trial.values).all(axis=1).any():
            return
        else:
            self._front.append(trial)
        self._best = None
        if len(self._front) > 2 * max(_ROOM, self._n_best):
            self._cut(max(_ROOM, self._n_best))

    def _cut(self, room: int) -> None:
        losses, ranks, order = self._ordered(room)
        kept = np.sort(order)
        self._bar = losses[kept][ranks[kept] == ranks[kept].max()]
        self._front = [self._front[place] for place in kept]

    def _ordered(self, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Losses and ranks by place, and the places of the ``n`` best, by rank and distance apart."""
        losses = self._signs * np.array([trial.values for trial in self._front])
        ranks = _fast_non_domination_rank(losses, n_below=n)
        apart = np.empty(len(losses))
        for rank in np.unique(ranks):
            apart[ranks == rank] = crowding(losses[ranks == rank])
        return losses, ranks, np.lexsort((-apart, ranks))[:n]

    def best(self) -> list[FrozenTrial]:
        """As the protocol says; where one rank has too many, those that lie far apart."""
        if self._best is None:
            self._best = list(self._front)
            if len(self._front) > self._n_best:
                self._best = [self._front[place] for place in self._ordered(self._n_best)[2]]
            self._best += self._others.trials()[: self._n_best - len(self._best)]
        return self._best


def crowding(losses: np.ndarray) -> np.ndarray:
    """How far each point's neighbours lie apart, summed over the objectives; the outermost: infinitely.

    The crowding distance of NSGA-II (Deb et al. 2002).
    """
    apart = np.zeros(len(losses))
    for column in losses.T:
        order = np.argsort(column, kind="stable")
        sorted_ = column[order]
        width = sorted_[-1] - sorted_[0]
        apart[order[[0, -1]]] = math.inf
        if 0 < width < math.inf:
            apart[order[1:-1]] += (sorted_[2:] - sorted_[:-2]) / width
    return apart


def _sign(direction: StudyDirection) -> float:
    return -1.0 if direction is StudyDirection.MAXIMIZE else 1.0


def _violation(trial: FrozenTrial) -> float:
    return sum(value for value in trial.constraints.values() if value > 0)


def _progress(trial: FrozenTrial, sign: float) -> tuple[float, float]:
    """TPE's order of pruned trials: who came further first, then by the value there, NaN last."""
    reports = trial.intermediate_values
    if not reports:
        return 1.0, 0.0
    step, value = max(reports.items())
    return -float(step), math.inf if math.isnan(value) else sign * value
