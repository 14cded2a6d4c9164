"""Single changes to trials and attempts: a connection inside a transaction in, rows changed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.trial import TrialState

from orchestrator.storage.schema import attempts, studies, trial_system_attributes, trial_values, trials
from orchestrator.storage.upsert import upsert


def now() -> datetime:
    """Naive UTC, as in Optuna's tables."""
    return datetime.now(UTC).replace(tzinfo=None)


def set_attempt(c: sa.Connection, token: str, **values: Any) -> None:
    """Change an attempt of ours."""
    c.execute(sa.update(attempts).where(attempts.c.token == token).values(**values))


def set_trial(c: sa.Connection, trial_id: int, **values: Any) -> None:
    """Change a trial."""
    c.execute(sa.update(trials).where(trials.c.trial_id == trial_id).values(**values))


def start_trial(c: sa.Connection, trial_id: int, expected: TrialState) -> bool:
    """Set a trial running, now; False when somebody else was quicker."""
    there = sa.and_(trials.c.trial_id == trial_id, trials.c.state == expected)
    running = {"state": TrialState.RUNNING, "datetime_start": now()}
    return c.execute(sa.update(trials).where(there).values(running)).rowcount == 1


def lock_study(c: sa.Connection, study_id: int) -> bool:
    """Keep other creators of trials away until this transaction ends; False when there is no such study.

    It comes first in a transaction: MySQL's REPEATABLE READ then takes its picture after the lock.
    """
    query = sa.select(studies.c.study_id).where(studies.c.study_id == study_id).with_for_update()
    return c.execute(query).scalar() is not None


def last_number(study_id: int) -> sa.ScalarSelect[Any]:
    """The number of a study's newest trial, in SQL: numbers rise with ids, and an index leads to the last."""
    newest = sa.select(trials.c.number).where(trials.c.study_id == study_id)
    return newest.order_by(trials.c.trial_id.desc()).limit(1).scalar_subquery()


def insert_trial(c: sa.Connection, study_id: int, number: int, state: TrialState, **times: Any) -> int:
    """Write a new trial of a locked study; its id."""
    row = {"study_id": study_id, "number": number, "state": state, **times}
    key = c.execute(sa.insert(trials).values(row)).inserted_primary_key
    assert key is not None
    return int(key[0])


def write_values(c: sa.Connection, trial_id: int, values: Sequence[float]) -> None:
    """Write the values of a trial over those that are there."""
    rows = []
    for objective, value in enumerate(values):
        stored, kind = stored_form(value)
        rows.append({"trial_id": trial_id, "objective": objective, "value": stored, "value_type": kind})
    upsert(c, trial_values, rows, ["trial_id", "objective"])


def intermediate_row(trial_id: int, step: int, value: float) -> dict[str, Any]:
    """An intermediate value in Optuna's form."""
    stored, kind = stored_form(value)
    return {
        "trial_id": trial_id,
        "step": step,
        "intermediate_value": stored,
        "intermediate_value_type": kind,
    }


def param_row(trial_id: int, name: str, internal: float, distribution: BaseDistribution) -> dict[str, Any]:
    """A parameter in Optuna's form."""
    text = distribution_to_json(distribution)
    return {"trial_id": trial_id, "param_name": name, "param_value": internal, "distribution_json": text}


def attribute_row(trial_id: int, key: str, value: Any) -> dict[str, Any]:
    """A user or system attribute in Optuna's form."""
    return {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}


def stored_form(value: float) -> tuple[float | None, str]:
    """A float as Optuna stores it: what is not finite is a type, not a number."""
    if math.isfinite(value):
        return float(value), "FINITE"
    if math.isnan(value):
        return None, "NAN"
    return None, "INF_POS" if value > 0 else "INF_NEG"


def keep_params(c: sa.Connection, trial_id: int, params: Mapping[str, Any]) -> None:
    """Sampled but not yet suggested parameters join ``fixed_params``, which Optuna hands to ``suggest_*``."""
    table = trial_system_attributes
    query = sa.select(table.c.value_json).where(table.c.trial_id == trial_id, table.c.key == "fixed_params")
    known = c.execute(query).scalar()
    set_attribute(c, trial_id, "fixed_params", {**params, **(json.loads(known) if known else {})})


def set_attribute(c: sa.Connection, trial_id: int, key: str, value: Any) -> None:
    """Write a system attribute of a trial over what was there."""
    upsert(c, trial_system_attributes, [attribute_row(trial_id, key, value)], ["trial_id", "key"])
