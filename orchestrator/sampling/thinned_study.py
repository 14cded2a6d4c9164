"""A study as TPE is to see it: a long history in; a bounded number of its trials out.

Shown are the trials that TPE takes for good, all running ones, and an even sample of the rest.
"""

from __future__ import annotations

import copy
import hashlib
import random
from collections.abc import Container, Sequence

from optuna import Study
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from orchestrator.sampling.best_trials import Smallest, best_trials
from orchestrator.sql.turns import Turn
from orchestrator.storage.stored_trial import StoredTrial
from orchestrator.storage.study_history import StudyHistory

_SPARE = 2.5  # the sample of the rest is drawn anew for each trial, from a pool of so many times its size
_TAUGHT = (TrialState.COMPLETE, TrialState.PRUNED)  # what TPE learns from


class ThinnedHistory:
    """Follows a study's history and picks ``size`` of its finished trials for each new one.

    The best trials are shown exactly. Of the rest a pool is kept: those whose numbers have the smallest
    hashes. It is an even sample of the whole history, and which trials are in it depends on their numbers
    alone; so workers that know the same history show the same trials to the same new trial. A trial is shown
    a part of the pool that its own number draws, so that over the trials more of the history is seen.

    Up to ``size`` finished trials, all are shown.
    """

    def __init__(self, directions: Sequence[StudyDirection], history: StudyHistory, size: int) -> None:
        self._directions = directions
        self._history = history
        self._size = size
        self._turn = Turn()
        self._begin()

    def _begin(self) -> None:
        self._best = best_trials(self._directions, self._size)
        self._pool = Smallest(int(_SPARE * self._size))
        self._n_seen = 0

    def shown_to(self, number: int) -> list[FrozenTrial]:
        """Finished and running trials for the trial of that number, as they are now, by their numbers.

        It costs a refresh of the history, and one statement where trials of others have come into the pool,
        or among the best.
        """
        self._history.refresh()
        with self._turn:
            try:
                self._catch_up()
            except BaseException:  # interrupted, or the database is gone: some would be missed
                self._begin()
                raise
            best, pool = self._best.best(), self._pool.trials()
        self._history.learn("params", best + pool)
        picked = self._pick(best, pool, random.Random(number))
        shown = [_without_reports(t) if t.state is TrialState.PRUNED else t for t in picked]
        return sorted(shown + self._history.running(), key=lambda trial: trial.number)

    def _catch_up(self) -> None:
        new = self._history.finished_from(self._n_seen)
        self._n_seen += len(new)
        # Pruned ones last: where enough were completed, their reports need not be read.
        for trial in sorted(new, key=lambda trial: trial.state is TrialState.PRUNED):
            if trial.state in _TAUGHT:
                self._best.offer(trial)
                self._pool.offer(_lot(trial.number), trial)

    def _pick(
        self, best: list[FrozenTrial], pool: list[FrozenTrial], rng: random.Random
    ) -> list[FrozenTrial]:
        if len(pool) <= self._size:  # it holds them all
            return pool
        numbers = {trial.number for trial in best}
        rest = [trial for trial in pool if trial.number not in numbers]
        return best + rng.sample(rest, min(self._size - len(best), len(rest)))


def _lot(number: int) -> bytes:
    return hashlib.blake2b(number.to_bytes(8), digest_size=8).digest()


def _without_reports(trial: FrozenTrial) -> FrozenTrial:
    """A pruned trial with those of its reports that are known.

    TPE orders pruned trials by their last reports. Where that order matters, ``BestOfOne`` has read them;
    elsewhere the reports of thousands would be read for nothing.
    """
    is_read = not isinstance(trial, StoredTrial) or trial.knows("intermediate_values")
    return FrozenTrial(
        number=trial.number,
        state=trial.state,
        value=None,
        values=trial.values,
        datetime_start=None,
        datetime_complete=None,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs={},
        system_attrs=trial.system_attrs if trial.constraints else {},
        intermediate_values=trial.intermediate_values if is_read else {},
        trial_id=trial._trial_id,
    )


class ThinnedStudy(Study):
    """``study`` with ``shown`` as its only trials; everything else, its storage too, is the study's own."""

    def __init__(self, study: Study, shown: Sequence[FrozenTrial]) -> None:
        self.__setstate__(study.__getstate__())  # Study's __init__ would ask the storage for all of it
        self._shown = shown

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        trials = [trial for trial in self._shown if states is None or trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials
