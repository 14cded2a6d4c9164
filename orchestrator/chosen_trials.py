"""Some trials of a study, however large it is: a choice in; the trials, and what their attempts took, out.

The database chooses; of the others nothing is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from orchestrator.sql.database import Database
from orchestrator.sql.schema import attempts, trials
from orchestrator.storage.rows import best_trials
from orchestrator.storage.study_history import StudyHistory

_FEW = 500  # so many trials are named one by one
_PARTS = ("params", "user_attrs", "system_attrs", "intermediate_values")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which trials of a study. Wishes add up: of these states, of these numbers, the newest of them."""

    ranges: tuple[range, ...] = ()  # of numbers; none: all
    states: tuple[TrialState, ...] = ()  # none: all
    newest: int | None = None

    def condition(self, study_id: int) -> sa.ColumnElement[bool]:
        """All of it but ``newest``."""
        parts: list[sa.ColumnElement[bool]] = [trials.c.study_id == study_id]
        if self.states:
            parts.append(trials.c.state.in_(self.states))
        if self.ranges:
            numbers = [trials.c.number.between(one.start, one.stop - 1) for one in self.ranges]
            parts.append(sa.or_(*numbers))
        return sa.and_(*parts)


def chosen(database: Database, study_id: int, choice: Choice) -> list[FrozenTrial]:
    """The chosen trials by number."""
    condition = choice.condition(study_id)
    if choice.newest is not None:
        newest = sa.select(trials.c.trial_id).where(condition)
        newest = newest.order_by(trials.c.trial_id.desc()).limit(choice.newest)
        ids = database.read(lambda c: list(c.execute(newest).scalars()))
        return _read(database, study_id, sa.and_(condition, _among(trials.c.trial_id, ids))) if ids else []
    return _read(database, study_id, condition)


def best(
    database: Database, study_id: int, direction: StudyDirection, n: int, choice: Choice | None = None
) -> list[FrozenTrial]:
    """The ``n`` best complete trials by the first objective, the best first; equally good ones by age."""
    query = best_trials(study_id, direction, n)
    if choice is not None:
        query = query.where(choice.condition(study_id))
    ids = database.read(lambda c: list(c.execute(query).scalars()))
    if not ids:
        return []
    found = {t._trial_id: t for t in _read(database, study_id, _among(trials.c.trial_id, ids))}
    return [found[trial_id] for trial_id in ids]


def _read(database: Database, study_id: int, condition: sa.ColumnElement[bool]) -> list[FrozenTrial]:
    """The trials that meet a condition; of a few of them everything at once."""
    history = StudyHistory(database, study_id)
    found = history.some(condition)
    for part in _PARTS if len(found) <= _FEW else ():
        history.learn(part, found)
    return found


def measured_s(database: Database, trial_ids: Sequence[int]) -> dict[int, float]:
    """Seconds inside the objective, by trial number, of those of these trials that were measured."""
    if not trial_ids or not database.keeps_runs():
        return {}
    query = (
        sa.select(trials.c.number, sa.func.sum(attempts.c.objective_s))
        .join(attempts, attempts.c.trial_id == trials.c.trial_id)
        .where(_among(attempts.c.trial_id, trial_ids), attempts.c.objective_s.is_not(None))
        .group_by(trials.c.number)
    )
    return dict(database.read(lambda c: c.execute(query).all()))


def tries(database: Database, trial_ids: Sequence[int]) -> dict[int, int]:
    """How often each of these trials was tried, by its number; those never tried by us are missing."""
    if not trial_ids or not database.keeps_runs():
        return {}
    query = (
        sa.select(trials.c.number, sa.func.count())
        .join(attempts, attempts.c.trial_id == trials.c.trial_id)
        .where(_among(attempts.c.trial_id, trial_ids))
        .group_by(trials.c.number)
    )
    return dict(database.read(lambda c: c.execute(query).all()))


def _among(column: sa.ColumnElement[int], ids: Sequence[int]) -> sa.ColumnElement[bool]:
    """Some trials by their ids; many of them by a range, in which there may be others."""
    return column.in_(ids) if len(ids) <= _FEW else column.between(min(ids), max(ids))
