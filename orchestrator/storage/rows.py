"""Single changes to trials and attempts: a connection inside a transaction in, rows changed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from orchestrator.sql.schema import (
    attempts,
    studies,
    trial_intermediate_values,
    trial_params,
    trial_system_attributes,
    trial_user_attributes,
    trial_values,
    trials,
)
from orchestrator.sql.upsert import Row, upsert, upsert_while
from orchestrator.storage.stored_trial import Times

# The unique keys of what belongs to a trial.
PARAM_KEY = ("trial_id", "param_name")
STEP_KEY = ("trial_id", "step")
ATTRIBUTE_KEY = ("trial_id", "key")

_NOT_FINITE = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}


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


def last_number(study_id: int | sa.BindParameter[int]) -> sa.Select[Any]:
    """The number of the newest trial of a study. Numbers rise with ids, and an index leads to the last."""
    newest = sa.select(trials.c.number).where(trials.c.study_id == study_id)
    return newest.order_by(trials.c.trial_id.desc()).limit(1)


def append_trial(c: sa.Connection, study_id: int, state: TrialState, times: Times) -> int:
    """Write a new trial of a locked study; its id."""
    last = c.execute(last_number(study_id)).scalar()
    row = {"study_id": study_id, "number": 0 if last is None else last + 1, "state": state}
    start, complete = times
    dates = {"datetime_start": start, "datetime_complete": complete}
    key = c.execute(sa.insert(trials).values(**row, **dates)).inserted_primary_key
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


def param_row(trial_id: int, name: str, internal: float, distribution_json: str) -> dict[str, Any]:
    """A parameter in Optuna's form."""
    value = {"param_value": internal, "distribution_json": distribution_json}
    return {"trial_id": trial_id, "param_name": name, **value}


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


def number_of(value: float | None, kind: str) -> float:
    """The float of a stored form."""
    return _NOT_FINITE[kind] if value is None else value


def fix_params(c: sa.Connection, trial_id: int, params: Mapping[str, Any]) -> None:
    """Sampled but not yet suggested parameters join ``fixed_params``, which Optuna hands to ``suggest_*``."""
    table = trial_system_attributes
    query = sa.select(table.c.value_json).where(table.c.trial_id == trial_id, table.c.key == "fixed_params")
    known = c.execute(query).scalar()
    set_attribute(c, trial_id, "fixed_params", {**params, **(json.loads(known) if known else {})})


def set_attribute(c: sa.Connection, trial_id: int, key: str, value: Any) -> None:
    """Write a system attribute of a trial over what was there."""
    upsert(c, trial_system_attributes, [attribute_row(trial_id, key, value)], ATTRIBUTE_KEY)


def create_trial(c: sa.Connection, study_id: int, template: FrozenTrial | None, times: Times) -> int:
    """Write a new trial, RUNNING or as the template is; its id. ``KeyError`` when there is no such study."""
    if not lock_study(c, study_id):
        raise KeyError(f"There is no study {study_id}.")
    trial_id = append_trial(c, study_id, TrialState.RUNNING if template is None else template.state, times)
    if template is not None:
        _copy_content(c, trial_id, template)
    return trial_id


def _copy_content(c: sa.Connection, trial_id: int, template: FrozenTrial) -> None:
    if template.values is not None:
        write_values(c, trial_id, template.values)
    spaces = template.distributions
    rows: dict[sa.Table, list[dict[str, Any]]] = {
        trial_params: [
            _template_param(trial_id, name, value, spaces[name]) for name, value in template.params.items()
        ],
        trial_intermediate_values: [
            intermediate_row(trial_id, step, value) for step, value in template.intermediate_values.items()
        ],
        trial_user_attributes: [attribute_row(trial_id, *item) for item in template.user_attrs.items()],
        trial_system_attributes: [attribute_row(trial_id, *item) for item in template.system_attrs.items()],
    }
    for table, some in rows.items():
        if some:
            c.execute(sa.insert(table), some)


def _template_param(trial_id: int, name: str, value: Any, space: BaseDistribution) -> dict[str, Any]:
    return param_row(trial_id, name, space.to_internal_repr(value), distribution_to_json(space))


def _running_attempt() -> sa.Select[Any]:
    is_running = sa.and_(attempts.c.state == "running", trials.c.state == TrialState.RUNNING)
    joined = attempts.join(trials, trials.c.trial_id == attempts.c.trial_id)
    mine = attempts.c.token == sa.bindparam("token")
    return sa.select(attempts.c.token).select_from(joined).where(mine, is_running)


# An attempt that is at work on a running trial: while it is there, its worker may write. What a statement
# selects to insert is locked (MySQL: by its isolation; PostgreSQL: FOR SHARE; SQLite has one writer), so
# nobody gives the trial back in between.
RUNNING_ATTEMPT = _running_attempt()


def write_while_running(
    c: sa.Connection,
    token: str,
    table: sa.Table,
    rows: Sequence[Row],
    key: tuple[str, ...],
    keep: bool = False,
) -> bool:
    """Write content of a trial in one statement; False when the attempt, or the trial, runs no more."""
    return upsert_while(c, RUNNING_ATTEMPT, {"token": token}, table, rows, key, keep)


def best_trials(study_id: int, direction: StudyDirection, n: int = 1) -> sa.Select[Any]:
    """Ids and numbers of the ``n`` best complete trials by the first objective; equally good ones by age."""
    return ranked_trials(study_id, direction).limit(n)


def ranked_trials(study_id: int, direction: StudyDirection) -> sa.Select[Any]:
    """Ids and numbers of the complete trials of a study with one objective, the best first."""
    kind = trial_values.c.value_type
    rank = sa.case((kind == "INF_NEG", -1), (kind == "INF_POS", 1), else_=0)
    order = sa.desc if direction is StudyDirection.MAXIMIZE else sa.asc
    joined = trials.join(trial_values, trial_values.c.trial_id == trials.c.trial_id)
    return (
        sa.select(trials.c.trial_id, trials.c.number)
        .select_from(joined)
        .where(
            trials.c.study_id == study_id,
            trials.c.state == TrialState.COMPLETE,
            trial_values.c.objective == 0,
        )
        .order_by(order(rank), order(trial_values.c.value), trials.c.trial_id)
    )
