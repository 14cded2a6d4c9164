"""A study as a table: a database and a study in; one row of CSV a trial out, in memory that does not grow.

The columns are named as in ``trials.csv`` of a run and in Optuna's ``Study.trials_dataframe``: ``number``,
``state``, ``value`` (``values_0`` … for several objectives, ``value_loss`` where they have names),
``params_…``, ``user_attrs_…``, ``datetime_start`` and ``datetime_complete`` (UTC). Then follow ``duration_s``
(inside the objective, all attempts together; by the dates where nobody measured it), ``host``, ``rank`` and
``slot`` of the last attempt, and ``attempts``, how often the trial was tried. What is not known is empty; an
attribute that is neither text nor number nor truth value is JSON.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.study.study import _SYSTEM_ATTR_METRIC_NAMES

from orchestrator.carry.content import Row, StudyHead, TrialPart
from orchestrator.carry.files import written
from orchestrator.carry.reading import StudySource
from orchestrator.export.formats import Exported
from orchestrator.export.telling import counted
from orchestrator.sql.database import Database
from orchestrator.sql.schema import agents, runs, trial_params, trial_user_attributes, trials
from orchestrator.words import how_many

_PLACE = ("host", "rank", "slot")


def write(database: Database, source: StudySource, file: str, told: Callable[[int], None]) -> Exported:
    """Write the table; what is in the file now. A reader sees the old file or the whole new one."""
    table = _table(database, source)
    n_rows = 0
    with written(file, "utf-8") as out:
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(table.titles)
        for part in counted(source.parts(), told):
            if isinstance(part, TrialPart):
                rows.writerow(table.row(part))
                n_rows += 1
        out.flush()
    return Exported(how_many(n_rows, "trial"), n_rows, n_runs=0)


@dataclass(frozen=True, slots=True)
class _Table:
    """The columns of one study's table, and where its agents were."""

    values: tuple[str, ...]  # titles of the objectives' columns
    params: tuple[str, ...]
    user_attrs: tuple[str, ...]
    places: Mapping[str, tuple[str, int]]  # host and rank by agent

    @property
    def titles(self) -> list[str]:
        named = [f"params_{name}" for name in self.params]
        named += [f"user_attrs_{key}" for key in self.user_attrs]
        times = ("datetime_start", "datetime_complete", "duration_s")
        return ["number", "state", *self.values, *named, *times, *_PLACE, "attempts"]

    def row(self, part: TrialPart) -> list[Any]:
        params = {param.name: _external(param.distribution, param.internal) for param in part.params}
        values = part.values or (None,) * len(self.values)
        return [
            part.number,
            part.state.name,
            *values,
            *(params.get(name) for name in self.params),
            *(_attribute(part.user_attrs.get(key)) for key in self.user_attrs),
            part.start,
            part.complete,
            _duration_s(part),
            *self._place(part.attempts),
            len(part.attempts) or None,
        ]

    def _place(self, attempts: tuple[Row, ...]) -> tuple[Any, ...]:
        """Host, rank and slot of the last attempt, if our workers have made one."""
        if not attempts:
            return (None,) * len(_PLACE)
        last = attempts[-1]
        return (*self.places.get(last["agent_id"], (None, None)), last["slot"])


def _table(database: Database, source: StudySource) -> _Table:
    study_id = source.study_id
    return _Table(
        values=tuple(_value_titles(source.head)),
        params=_names(database, trial_params.c.param_name, study_id),
        user_attrs=_names(database, trial_user_attributes.c.key, study_id),
        places=_places(database, study_id) if database.keeps_runs() else {},
    )


def _value_titles(head: StudyHead) -> Iterator[str]:
    text = head.system_attrs.get(_SYSTEM_ATTR_METRIC_NAMES)
    names = json.loads(text) if text is not None else None
    if len(head.directions) == 1:
        yield "value" if names is None else f"value_{names[0]}"
    else:
        yield from (f"values_{name}" for name in names or range(len(head.directions)))


def _names(database: Database, column: sa.Column[str], study_id: int) -> tuple[str, ...]:
    """All values that a column has in rows of the study's trials, sorted."""
    of_trials = column.table.c.trial_id == trials.c.trial_id
    query = sa.select(column).distinct().where(of_trials, trials.c.study_id == study_id)
    return tuple(sorted(database.read(lambda c: c.execute(query).scalars().all())))


def _places(database: Database, study_id: int) -> dict[str, tuple[str, int]]:
    query = sa.select(agents.c.agent_id, agents.c.host, agents.c.rank)
    query = query.join(runs, runs.c.run_id == agents.c.run_id).where(runs.c.study_id == study_id)
    rows = database.read(lambda c: c.execute(query).all())
    return {row.agent_id: (row.host, row.rank) for row in rows}


@lru_cache(maxsize=1_000)
def _distribution(text: str) -> BaseDistribution:
    return json_to_distribution(text)


def _external(distribution: str, internal: float) -> Any:
    return _distribution(distribution).to_external_repr(internal)


def _attribute(text: str | None) -> Any:
    if text is None:
        return None
    value = json.loads(text)
    return text if isinstance(value, list | dict) else value


def _duration_s(part: TrialPart) -> float | None:
    measured: list[float] = [row["objective_s"] for row in part.attempts if row["objective_s"] is not None]
    if measured:
        return sum(measured)
    if part.start is None or part.complete is None or part.complete < part.start:
        return None
    return (part.complete - part.start).total_seconds()
