"""Single changes to trials and attempts: a connection inside a transaction in, rows changed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState

from orchestrator.storage.schema import attempts, trial_system_attributes, trials


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


def value_row(trial_id: int, objective: int, value: float) -> dict[str, Any]:
    """A value in Optuna's form: infinities are a type, not a number."""
    infinite = math.isinf(value)
    kind = ("INF_POS" if value > 0 else "INF_NEG") if infinite else "FINITE"
    stored = None if infinite else value
    return {"trial_id": trial_id, "objective": objective, "value": stored, "value_type": kind}


def keep_params(c: sa.Connection, trial_id: int, params: Mapping[str, Any]) -> None:
    """Sampled but not yet suggested parameters join ``fixed_params``, which Optuna hands to ``suggest_*``."""
    table = trial_system_attributes
    query = sa.select(table.c.value_json).where(table.c.trial_id == trial_id, table.c.key == "fixed_params")
    known = c.execute(query).scalar()
    set_attribute(c, trial_id, "fixed_params", {**params, **(json.loads(known) if known else {})})


def set_attribute(c: sa.Connection, trial_id: int, key: str, value: Any) -> None:
    """Write a system attribute of a trial over what was there."""
    table = trial_system_attributes
    mine = sa.and_(table.c.trial_id == trial_id, table.c.key == key)
    c.execute(sa.delete(table).where(mine))
    c.execute(sa.insert(table).values(trial_id=trial_id, key=key, value_json=json.dumps(value)))
