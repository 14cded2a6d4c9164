"""How a study stands now, from the storage alone: a study in; counts, the best, who is at what, out.

A handful of statements, whose cost grows little with the study: what a terminal far away can ask every few
seconds.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from orchestrator import chosen_trials
from orchestrator.at_work import agents_at_work
from orchestrator.causes import SOUND
from orchestrator.records import RunRecord
from orchestrator.snapshot import BusySlot
from orchestrator.sql.database import Database
from orchestrator.sql.schema import (
    agents,
    attempts,
    database_now,
    trial_intermediate_values,
    trial_values,
    trials,
)
from orchestrator.storage.overview import StudyOverview, overview
from orchestrator.storage.rows import number_of
from orchestrator.storage.runs import UNENDED, RunTable, StoredAgent
from orchestrator.storage.study_rows import study_id_of

_RECENT = 200  # attempts by which the pace is judged
_COLUMNS = 100  # points of the curve


@dataclass(frozen=True, slots=True)
class RunStanding:
    """A run of ours: what it has done, who is at work on it and at what."""

    record: RunRecord
    finished: int
    states: Mapping[str, int]  # of its finished trials
    causes: Mapping[str, int]  # why attempts failed or were lost, how often
    agents: tuple[StoredAgent, ...]  # that live
    busy: tuple[BusySlot, ...]
    rate_per_s: float | None  # of late

    @property
    def state(self) -> str:
        """As people say it: a run that nobody is at work on, and that never ended, was cut off."""
        is_cut_off = self.record.state in UNENDED and not self.agents
        return "cut off" if is_cut_off else self.record.state

    @property
    def hosts(self) -> list[str]:
        """Where its agents are."""
        return sorted({agent.process.host for agent in self.agents})

    @property
    def time_left_s(self) -> float | None:
        """Until the last of its agents has to end; None when one has no end."""
        left = [agent.left_s for agent in self.agents]
        return None if not left or None in left else max(one for one in left if one is not None)


@dataclass(frozen=True, slots=True)
class Standing:
    """A study and its last run; one of plain Optuna has none."""

    study: StudyOverview
    best: tuple[FrozenTrial, ...] = ()  # of one objective: the best trial, once there is one
    run: RunStanding | None = None
    curve: Sequence[tuple[int, float]] = field(default_factory=tuple)


def read_standing(database: Database, study_name: str, with_curve: bool = False) -> Standing:
    """Read how a study stands. ``KeyError``: there is none of that name."""
    study_id = database.read(lambda c: study_id_of(c, study_name))
    if study_id is None:
        raise KeyError(f"There is no study '{study_name}'.")
    keeps_runs = database.keeps_runs()
    (study,) = database.read(lambda c: overview(c, keeps_runs, study_id))
    has_one = len(study.directions) == 1
    best = tuple(chosen_trials.best(database, study_id, study.directions[0], 1)) if has_one else ()
    run = _last_run(database, study_id) if study.runs else None
    curve = _curve(database, study) if with_curve and best else ()
    return Standing(study, best, run, curve)


def _last_run(database: Database, study_id: int) -> RunStanding:
    """The run that is at work, else the one begun last."""
    stored = RunTable(database).of_study(study_id)
    unended = [run for run in stored if run.record.state in UNENDED]
    alive = {agent.run_id for agent in agents_at_work(database, [run.record.run_id for run in unended])}
    run = next((run for run in reversed(unended) if run.record.run_id in alive), stored[-1])
    run_id = run.record.run_id
    living = tuple(agents_at_work(database, [run_id]))
    states, causes = _states(database, run_id), _causes(database, run_id)
    return RunStanding(
        record=run.record,
        finished=sum(states.values()),
        states=states,
        causes=causes,
        agents=living,
        busy=_busy(database, run_id, {agent.agent_id for agent in living}),
        rate_per_s=_rate_per_s(database, run_id, is_live=bool(living)),
    )


def _states(database: Database, run_id: str) -> dict[str, int]:
    """Finished trials of the run by state."""
    query = (
        sa.select(trials.c.state, sa.func.count())
        .join(attempts, attempts.c.trial_id == trials.c.trial_id)
        .where(attempts.c.run_id == run_id, attempts.c.state == "ended")
        .group_by(trials.c.state)
    )
    return {state.name: n for state, n in database.read(lambda c: c.execute(query).all())}


def _causes(database: Database, run_id: str) -> Counter[str]:
    query = (
        sa.select(attempts.c.cause, sa.func.count())
        .where(attempts.c.run_id == run_id, attempts.c.cause.is_not(None), attempts.c.cause.not_in(SOUND))
        .group_by(attempts.c.cause)
    )
    return Counter(dict(database.read(lambda c: c.execute(query).all())))


def _busy(database: Database, run_id: str, living: set[str]) -> tuple[BusySlot, ...]:
    """What the workers of living agents are at, in order of rank and slot."""
    query = (
        sa.select(
            attempts.c.agent_id,
            attempts.c.trial_id,
            attempts.c.slot,
            attempts.c.cpus,
            (database_now() - attempts.c.start_s).label("age_s"),
            trials.c.number,
            agents.c.host,
            agents.c.rank,
        )
        .join(trials, trials.c.trial_id == attempts.c.trial_id)
        .join(agents, agents.c.agent_id == attempts.c.agent_id)
        .where(attempts.c.run_id == run_id, attempts.c.state == "running")
        .order_by(agents.c.job, agents.c.rank, attempts.c.slot)
    )
    rows = [row for row in database.read(lambda c: c.execute(query).all()) if row.agent_id in living]
    last = _last_reports(database, [row.trial_id for row in rows])
    return tuple(_busy_slot(row, *last.get(row.trial_id, (None, None))) for row in rows)


def _busy_slot(row: sa.Row[Any], step: int | None, value: float | None) -> BusySlot:
    age_s = max(0.0, row.age_s)
    return BusySlot(row.slot, row.host, row.cpus, row.number, step, value, age_s, row.rank)


def _last_reports(database: Database, trial_ids: Sequence[int]) -> dict[int, tuple[int, float]]:
    """The last step that each of these trials has reported, and its value."""
    table = trial_intermediate_values.c
    last = (
        sa.select(table.trial_id, sa.func.max(table.step).label("step"))
        .where(table.trial_id.in_(trial_ids))
        .group_by(table.trial_id)
        .subquery()
    )
    query = sa.select(
        table.trial_id, table.step, table.intermediate_value, table.intermediate_value_type
    ).join(last, sa.and_(last.c.trial_id == table.trial_id, last.c.step == table.step))
    if not trial_ids:
        return {}
    rows = database.read(lambda c: c.execute(query).all())
    return {trial_id: (step, number_of(value, kind)) for trial_id, step, value, kind in rows}


def _rate_per_s(database: Database, run_id: str, is_live: bool) -> float | None:
    """Finished trials per second of late: up to now or, once nobody is at work, to the last of them."""
    recent = (
        sa.select(attempts.c.end_s)
        .where(attempts.c.run_id == run_id, attempts.c.state == "ended", attempts.c.end_s.is_not(None))
        .order_by(attempts.c.end_s.desc())
        .limit(_RECENT)
        .subquery()
    )
    end_s = recent.c.end_s
    query = sa.select(sa.func.count(), sa.func.min(end_s), sa.func.max(end_s), database_now())
    n, first_s, last_s, now_s = database.read(lambda c: c.execute(query).one())
    if n < 2:
        return None
    until_s = now_s if is_live else last_s
    return (n - 1) / (until_s - first_s) if until_s > first_s else None


def _curve(database: Database, study: StudyOverview) -> list[tuple[int, float]]:
    """The best so far of one objective, thinned by the database: trials made by then, and the value."""
    newest = sa.select(sa.func.max(trials.c.number)).where(trials.c.study_id == study.study_id)
    last = database.read(lambda c: c.execute(newest).scalar()) or 0
    share = math.ceil((last + 1) / _COLUMNS)
    first = (trials.c.number - trials.c.number % share).label("first")
    is_max = study.directions[0] is StudyDirection.MAXIMIZE
    best = (sa.func.max if is_max else sa.func.min)(trial_values.c.value)
    query = (
        sa.select(first, best)
        .join(trial_values, trial_values.c.trial_id == trials.c.trial_id)
        .where(
            trials.c.study_id == study.study_id,
            trials.c.state == TrialState.COMPLETE,
            trial_values.c.objective == 0,
            trial_values.c.value_type == "FINITE",
        )
        .group_by(first)
        .order_by(first)
    )
    rows = [(first, value) for first, value in database.read(lambda c: c.execute(query).all())]
    return _running_best(rows, share, is_max)


def _running_best(rows: Sequence[tuple[int, float]], share: int, is_max: bool) -> list[tuple[int, float]]:
    """The improvements alone."""
    steps: list[tuple[int, float]] = []
    for first, value in rows:
        if not steps or (value > steps[-1][1] if is_max else value < steps[-1][1]):
            steps.append((int(first) + share, float(value)))
    return steps
