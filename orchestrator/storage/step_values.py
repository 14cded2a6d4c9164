"""What the complete trials of a study reported, step by step: SQL in, sorted numbers out.

For pruners, which ask at every report: a study of 100,000 trials must not be read for it.
"""

from __future__ import annotations

import math
import time
from array import array
from bisect import insort
from collections.abc import Iterable
from typing import Any

import numpy as np
import sqlalchemy as sa
from optuna.trial import TrialState

from orchestrator.sql.database import Database
from orchestrator.sql.schema import trial_intermediate_values, trials
from orchestrator.storage.newly_finished import NewlyFinished
from orchestrator.storage.rows import number_of

LOOK_EVERY_S = 1.0
_reported = trial_intermediate_values.c
_BY_TRIAL = trials.outerjoin(trial_intermediate_values, _reported.trial_id == trials.c.trial_id)


class Reports:
    """The values reported at one step: numbers in rising order, 8 bytes each, and how many were NaN."""

    def __init__(self, values: Iterable[float]) -> None:
        known = list(values)
        self._numbers = array("d", sorted(value for value in known if not math.isnan(value)))
        self._n_nan = len(known) - len(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers) + self._n_nan

    def add(self, value: float) -> None:
        """One more value."""
        if math.isnan(value):
            self._n_nan += 1
        else:
            insort(self._numbers, value)

    def percentile(self, percent: float) -> float:
        """What ``numpy.nanpercentile`` says of these values; NaN where there is no number."""
        if not self._numbers:
            return math.nan
        place = (len(self._numbers) - 1) * (percent / 100)
        low = math.floor(place)
        neighbours = self._numbers[low : low + 2]
        with np.errstate(invalid="ignore"):  # between two infinities lies NaN, as for numpy
            return float(np.quantile(neighbours, place - low if len(neighbours) > 1 else 0.0))


class StepValues:
    """The reports of a study's COMPLETE trials.

    A step is read, in one statement, when somebody first asks for it; afterwards a look brings the reports
    of the trials that completed since.
    """

    def __init__(self, database: Database, study_id: int) -> None:
        self.n_complete = 0
        self._database = database
        self._study_id = study_id
        self._ends = NewlyFinished(study_id)
        self._steps: dict[int, Reports] = {}
        self._looked_at_s = -math.inf
        self._looked_for = -1

    def look(self, trial_id: int) -> None:
        """Learn of the trials that completed: when a trial asks first, then once a second; one statement.

        So while trials of one process follow each other, what each sees does not depend on the clock.
        """
        now_s = time.monotonic()
        if trial_id == self._looked_for and now_s - self._looked_at_s < LOOK_EVERY_S:
            return
        self._take_in(self._database.read(lambda c: c.execute(self._query()).all()))
        self._looked_for, self._looked_at_s = trial_id, now_s

    def _query(self) -> sa.Select[Any]:
        """State and reports of trials that may have completed, one row a report at the steps known here."""
        columns = (trials.c.trial_id, trials.c.state)
        if not self._steps:
            return sa.select(*columns).where(self._ends.may_be_new())
        wanted = sa.and_(
            _reported.trial_id == trials.c.trial_id,
            trials.c.state == TrialState.COMPLETE,
            _reported.step.between(min(self._steps), max(self._steps)),
        )
        reports = (_reported.step, _reported.intermediate_value, _reported.intermediate_value_type)
        joined = trials.outerjoin(trial_intermediate_values, wanted)
        return sa.select(*columns, *reports).select_from(joined).where(self._ends.may_be_new())

    def _take_in(self, rows: Iterable[Any]) -> None:
        found: dict[int, TrialState] = {}
        for trial_id, state, *report in rows:
            if self._ends.is_old(trial_id):
                continue
            if state is TrialState.COMPLETE:
                self.n_complete += trial_id not in found
                self._add(*report)
            found[trial_id] = state
        self._ends.note(found)

    def _add(self, step: int | None = None, value: float | None = None, kind: str | None = None) -> None:
        """Keep a report of a step known here; a trial without any comes with a row of nothing."""
        if step in self._steps and kind is not None:
            self._steps[step].add(number_of(value, kind))

    def at(self, step: int) -> Reports:
        """The values reported at a step by the trials whose completion was learnt."""
        if step not in self._steps:
            rows = self._database.read(lambda c: c.execute(self._everything_at(step)).all())
            known = (row for row in rows if self._ends.is_old(row.trial_id))
            self._steps[step] = Reports(
                number_of(row.intermediate_value, row.intermediate_value_type) for row in known
            )
        return self._steps[step]

    def _everything_at(self, step: int) -> sa.Select[Any]:
        columns = (trials.c.trial_id, _reported.intermediate_value, _reported.intermediate_value_type)
        complete = (trials.c.study_id == self._study_id, trials.c.state == TrialState.COMPLETE)
        upto = trials.c.trial_id <= self._ends.newest
        return sa.select(*columns).select_from(_BY_TRIAL).where(*complete, upto, _reported.step == step)


def last_step(database: Database, study_id: int) -> int | None:
    """The largest step that a complete trial of the study reported; None where none did."""
    complete = (trials.c.study_id == study_id, trials.c.state == TrialState.COMPLETE)
    query = sa.select(sa.func.max(_reported.step)).select_from(_BY_TRIAL).where(*complete)
    return database.read(lambda c: c.execute(query).scalar())
