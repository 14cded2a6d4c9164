"""The values with which trials passed the rungs of successive halving: SQL in, sorted numbers out."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState

from orchestrator.sql.database import Database
from orchestrator.sql.schema import trial_system_attributes, trials
from orchestrator.storage.attempts import RUNG
from orchestrator.storage.newly_finished import NewlyFinished

Rung = tuple[int, str]  # a group of trials (Hyperband's bracket) and the key of the trial's attribute
_attribute = trial_system_attributes.c


class RungValues:
    """Who passed which rung with which value.

    Those of finished trials are kept; those of the others are read at every look, so nobody is seen late.
    """

    def __init__(self, database: Database, study_id: int) -> None:
        self._database = database
        self._ends = NewlyFinished(study_id)
        self._finished: dict[Rung, array[float]] = {}  # in rising order
        self._unfinished: dict[Rung, list[float]] = {}

    def look(self, group_of: Callable[[int], int]) -> None:
        """Learn what every trial has passed, in one statement; ``group_of`` maps a number to its group."""
        rows = self._database.read(lambda c: c.execute(self._query()).all())
        found: dict[int, TrialState] = {}
        new: dict[Rung, list[float]] = {}
        self._unfinished = {}
        for trial_id, number, state, key, text in rows:
            if self._ends.is_old(trial_id):
                continue
            found[trial_id] = state
            if key is None:
                continue
            rung, value = (group_of(number), key), float(json.loads(text))
            if state.is_finished():
                new.setdefault(rung, []).append(value)
            else:
                self._unfinished.setdefault(rung, []).append(value)
        self._ends.note(found)
        self._keep(new)

    def _query(self) -> sa.Select[Any]:
        is_rung = sa.and_(_attribute.trial_id == trials.c.trial_id, _attribute.key.like(RUNG))
        columns = (trials.c.trial_id, trials.c.number, trials.c.state, _attribute.key, _attribute.value_json)
        joined = trials.outerjoin(trial_system_attributes, is_rung)
        return sa.select(*columns).select_from(joined).where(self._ends.may_be_new())

    def _keep(self, new: dict[Rung, list[float]]) -> None:
        for rung, values in new.items():
            if rung not in self._finished:
                self._finished[rung] = array("d", sorted(values))
                continue
            for value in values:
                insort(self._finished[rung], value)

    def rivals(self, rung: Rung) -> Rivals:
        """Who had passed a rung at the last look; a trial that comes to it is not yet among them."""
        return Rivals(self._finished.get(rung, array("d")), self._unfinished.get(rung, ()))


class Rivals:
    """The values of other trials at a rung: those of finished ones in rising order, and the others'."""

    def __init__(self, finished: array[float], unfinished: Iterable[float]) -> None:
        self._finished = finished
        self._unfinished = list(unfinished)

    def __len__(self) -> int:
        return len(self._finished) + len(self._unfinished)

    def below(self, value: float) -> int:
        """How many are smaller."""
        return bisect_left(self._finished, value) + sum(other < value for other in self._unfinished)

    def above(self, value: float) -> int:
        """How many are greater."""
        greater = len(self._finished) - bisect_right(self._finished, value)
        return greater + sum(other > value for other in self._unfinished)
