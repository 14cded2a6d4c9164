"""One trial as its row says: a connection inside a transaction and an id or a number in; what it is out."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from orchestrator.sql.schema import trials


@dataclass(frozen=True, slots=True)
class OpenTrial:
    """A trial that is not finished."""

    state: TrialState
    study_id: int


def open_trial(c: sa.Connection, trial_id: int, locks: bool = False) -> OpenTrial:
    """A trial that may still change; with ``locks`` nobody else changes it before this transaction ends.

    Raises ``KeyError`` when there is none, ``UpdateFinishedTrialError`` when it is finished.
    """
    query = sa.select(trials.c.state, trials.c.number, trials.c.study_id).where(trials.c.trial_id == trial_id)
    row = c.execute(query.with_for_update() if locks else query).first()
    if row is None:
        raise KeyError(f"There is no trial {trial_id}.")
    if row.state.is_finished():
        raise UpdateFinishedTrialError(f"Trial#{row.number} has already finished and can not be updated.")
    return OpenTrial(row.state, int(row.study_id))


def state_of(c: sa.Connection, trial_id: int) -> TrialState | None:
    """The state of a trial; None when there is no such trial."""
    return c.execute(sa.select(trials.c.state).where(trials.c.trial_id == trial_id)).scalar()


def study_of(c: sa.Connection, trial_id: int) -> int:
    """The id of a trial's study; ``KeyError``."""
    found = c.execute(sa.select(trials.c.study_id).where(trials.c.trial_id == trial_id)).scalar()
    if found is None:
        raise KeyError(f"There is no trial {trial_id}.")
    return int(found)


def trial_of_number(c: sa.Connection, study_id: int, number: int) -> int:
    """The id of a study's trial; ``KeyError``."""
    there = sa.and_(trials.c.study_id == study_id, trials.c.number == number)
    found = c.execute(sa.select(trials.c.trial_id).where(there)).scalar()
    if found is None:
        raise KeyError(f"There is no trial number {number} in study {study_id}.")
    return int(found)
