"""Many rows at once: parts of trials and their ids in; rows written by few, large statements out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from orchestrator.carry.content import Attributes, TrialPart
from orchestrator.sql.schema import (
    trial_intermediate_values,
    trial_params,
    trial_system_attributes,
    trial_user_attributes,
    trial_values,
)
from orchestrator.storage.rows import stored_form

_COLUMNS = {
    trial_values: ("trial_id", "objective", "value", "value_type"),
    trial_params: ("trial_id", "param_name", "param_value", "distribution_json"),
    trial_intermediate_values: ("trial_id", "step", "intermediate_value", "intermediate_value_type"),
    trial_user_attributes: ("trial_id", "key", "value_json"),
    trial_system_attributes: ("trial_id", "key", "value_json"),
}
_Rows = list[tuple[Any, ...]]  # of integers, floats and strings alone


def insert(c: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows, or nothing when there are none."""
    if rows:
        c.execute(sa.insert(table), rows)


def trial_row(part: TrialPart) -> dict[str, Any]:
    """A trial's own row, without its study."""
    times = {"datetime_start": part.start, "datetime_complete": part.complete}
    return {"number": part.number, "state": part.state, **times}


def insert_contents(c: sa.Connection, ids: Sequence[int], parts: Sequence[TrialPart]) -> None:
    """Write values, parameters, reports and attributes of trials that have these ids."""
    rows: dict[sa.Table, _Rows] = {table: [] for table in _COLUMNS}
    for trial_id, part in zip(ids, parts, strict=True):
        rows[trial_values] += _numbers(trial_id, enumerate(part.values))
        rows[trial_params] += [(trial_id, p.name, p.internal, p.distribution) for p in part.params]
        rows[trial_intermediate_values] += _numbers(trial_id, part.reported)
        rows[trial_user_attributes] += _texts(trial_id, part.user_attrs)
        rows[trial_system_attributes] += _texts(trial_id, part.system_attrs)
    for table, some in rows.items():
        _insert_plain(c, table, some)


def _numbers(trial_id: int, placed: Iterable[tuple[int, float]]) -> Iterator[tuple[Any, ...]]:
    for place, number in placed:
        yield (trial_id, place, *stored_form(number))


def _texts(trial_id: int, attrs: Attributes) -> Iterator[tuple[Any, ...]]:
    for key, text in attrs.items():
        yield trial_id, key, text


def _insert_plain(c: sa.Connection, table: sa.Table, rows: _Rows) -> None:
    """Write rows whose values every driver takes as they are: SQLAlchemy need not look at each of them."""
    if not rows:
        return
    columns = _COLUMNS[table]
    if c.dialect.positional:
        statement = sa.insert(table).compile(dialect=c.dialect, column_keys=list(columns))
        c.exec_driver_sql(str(statement), rows)
    else:
        c.execute(sa.insert(table), [dict(zip(columns, row, strict=True)) for row in rows])
