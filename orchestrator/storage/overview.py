"""All studies of a database at a glance: a connection in; one overview for each study out.

A handful of grouped statements, however many studies and trials there are.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from optuna.study import StudyDirection
from optuna.trial import TrialState

from orchestrator.sql.schema import runs, studies, study_directions, trial_values, trials
from orchestrator.storage.rows import number_of


@dataclass(frozen=True, slots=True)
class RunOverview:
    """One launch of ours on a study."""

    run_id: str
    owner: str
    state: str  # as in RunRecord, and as written: its agents may have died
    n_trials: int | None  # the budget; None: limited by time alone
    claimed: int  # tickets handed out so far


@dataclass(slots=True)
class StudyOverview:
    """What a list of studies says about one of them. Times are naive UTC."""

    study_id: int
    name: str
    directions: list[StudyDirection] = field(default_factory=list)
    counts: dict[TrialState, int] = field(default_factory=lambda: dict.fromkeys(TrialState, 0))
    first: datetime | None = None  # when a trial was first begun
    last: datetime | None = None  # when a trial last began or ended
    best_value: float | None = None  # with one objective, once a trial is complete
    runs: list[RunOverview] = field(default_factory=list)

    @property
    def n_trials(self) -> int:
        """Trials in any state."""
        return sum(self.counts.values())


def overview(c: sa.Connection, keeps_runs: bool, only: int | None = None) -> list[StudyOverview]:
    """Every study, in the order in which they were made; ``keeps_runs`` off: there are no tables of ours.

    ``only``: that one alone, by its id, and without its best value, which is a walk over all its trials.
    """
    query = sa.select(studies.c.study_id, studies.c.study_name).order_by(studies.c.study_id)
    rows = c.execute(_of(query, studies, only))
    found = {row.study_id: StudyOverview(row.study_id, row.study_name) for row in rows}
    _add_directions(c, found, only)
    _add_counts(c, found, only)
    if only is None:
        _add_best_values(c, found)
    if keeps_runs:
        _add_runs(c, found, only)
    return list(found.values())


def _of(query: sa.Select[Any], table: sa.Table, only: int | None) -> sa.Select[Any]:
    return query if only is None else query.where(table.c.study_id == only)


def _add_directions(c: sa.Connection, found: dict[int, StudyOverview], only: int | None) -> None:
    table = study_directions.c
    query = sa.select(table.study_id, table.direction).order_by(table.objective)
    for row in c.execute(_of(query, study_directions, only)):
        found[row.study_id].directions.append(row.direction)


def _add_counts(c: sa.Connection, found: dict[int, StudyOverview], only: int | None) -> None:
    start, complete = trials.c.datetime_start, trials.c.datetime_complete
    ends = (sa.func.min(start), sa.func.max(start), sa.func.max(complete))
    grouped = _of(sa.select(trials.c.study_id, trials.c.state, sa.func.count(), *ends), trials, only)
    for study_id, state, n, first, *last in c.execute(grouped.group_by(trials.c.study_id, trials.c.state)):
        study = found[study_id]
        study.counts[state] = n
        study.first = min(filter(None, (study.first, first)), default=None)
        study.last = max(filter(None, (study.last, *last)), default=None)


def _add_best_values(c: sa.Connection, found: dict[int, StudyOverview]) -> None:
    value, kind = trial_values.c.value, trial_values.c.value_type
    grouped = (
        sa.select(trials.c.study_id, kind, sa.func.min(value), sa.func.max(value))
        .join(trial_values, trial_values.c.trial_id == trials.c.trial_id)
        .where(trials.c.state == TrialState.COMPLETE, trial_values.c.objective == 0)
        .group_by(trials.c.study_id, kind)
    )
    candidates: dict[int, list[float]] = defaultdict(list)
    for study_id, kind_, *ends in c.execute(grouped):
        candidates[study_id] += [number_of(end, kind_) for end in ends]
    for study_id, values in candidates.items():
        study = found[study_id]
        if len(study.directions) == 1:
            study.best_value = (max if study.directions[0] is StudyDirection.MAXIMIZE else min)(values)


def _add_runs(c: sa.Connection, found: dict[int, StudyOverview], only: int | None) -> None:
    columns = (runs.c.run_id, runs.c.owner, runs.c.state, runs.c.n_trials, runs.c.claimed)
    query = sa.select(runs.c.study_id, *columns).order_by(runs.c.start_s)
    for study_id, *run in c.execute(_of(query, runs, only)):
        if study_id in found:  # else plain Optuna has deleted the study
            found[study_id].runs.append(RunOverview(*run))
