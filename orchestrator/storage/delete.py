"""The end of a study: its id in, every row that belongs to it gone, ours included."""

from __future__ import annotations

import sqlalchemy as sa

from orchestrator.storage.schema import (
    agents,
    attempts,
    runs,
    studies,
    study_directions,
    study_system_attributes,
    study_user_attributes,
    trial_heartbeats,
    trial_intermediate_values,
    trial_params,
    trial_system_attributes,
    trial_user_attributes,
    trial_values,
    trials,
)

_OF_TRIALS = (
    trial_params,
    trial_values,
    trial_intermediate_values,
    trial_user_attributes,
    trial_system_attributes,
    trial_heartbeats,
    attempts,
)
_OF_STUDIES = (runs, trials, study_directions, study_user_attributes, study_system_attributes, studies)


def study(c: sa.Connection, study_id: int) -> None:
    """Delete a study inside the transaction at hand, from the leaves to the root."""
    mine = sa.select(trials.c.trial_id).where(trials.c.study_id == study_id).scalar_subquery()
    for table in _OF_TRIALS:
        c.execute(sa.delete(table).where(table.c.trial_id.in_(mine)))
    of_runs = sa.select(runs.c.run_id).where(runs.c.study_id == study_id).scalar_subquery()
    c.execute(sa.delete(agents).where(agents.c.run_id.in_(of_runs)))
    for table in _OF_STUDIES:
        c.execute(sa.delete(table).where(table.c.study_id == study_id))
