"""Trials by columns: a condition on rows in; trials out, without an ORM object between.

A trial is one head: identity, state, times and values. Finished trials leave all else in the database until
somebody asks (``StoredTrial``); unfinished ones are read whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.trial import FrozenTrial, TrialState

from orchestrator.sql.schema import (
    trial_intermediate_values,
    trial_params,
    trial_system_attributes,
    trial_user_attributes,
    trial_values,
    trials,
)
from orchestrator.storage.rows import number_of
from orchestrator.storage.stored_trial import PARTS, Source, StoredTrial, Times, local

Parts = dict[int, Any]

_ROUNDING = timedelta(seconds=1)

_FEW = 500  # so many trials are named one by one; more are read as a range of ids
_DENSE = 4  # a range may hold so many ids for each one asked for
_BLOCK = 5_000  # trials read at a time: it bounds the memory for their rows
_TABLES = {
    "params": trial_params,
    "user_attrs": trial_user_attributes,
    "system_attrs": trial_system_attributes,
    "intermediate_values": trial_intermediate_values,
}


def _heads() -> sa.Select[Any]:
    """Identity, state, times; whether constraints were set; a pruned trial's last step; one row a value."""
    attribute = trial_system_attributes.c
    named = sa.or_(attribute.key == "constraints", attribute.key.like("constraints:%"))
    is_constrained = sa.exists().where(attribute.trial_id == trials.c.trial_id, named)
    reported = trial_intermediate_values.c
    last = sa.select(sa.func.max(reported.step)).where(reported.trial_id == trials.c.trial_id)
    return sa.select(
        trials.c.trial_id,
        trials.c.number,
        trials.c.state,
        trials.c.datetime_start,
        trials.c.datetime_complete,
        is_constrained,
        sa.case((trials.c.state == TrialState.PRUNED, last.scalar_subquery())),
        trial_values.c.value,
        trial_values.c.value_type,
    ).select_from(trials.outerjoin(trial_values, trial_values.c.trial_id == trials.c.trial_id))


_HEADS = _heads().order_by(trials.c.trial_id, trial_values.c.objective)
_PARAMS = sa.select(
    trial_params.c.trial_id,
    trial_params.c.param_name,
    trial_params.c.param_value,
    trial_params.c.distribution_json,
).order_by(trial_params.c.trial_id, trial_params.c.param_id)

_REPORTED = sa.select(
    trial_intermediate_values.c.trial_id,
    trial_intermediate_values.c.step,
    trial_intermediate_values.c.intermediate_value,
    trial_intermediate_values.c.intermediate_value_type,
).order_by(trial_intermediate_values.c.trial_id, trial_intermediate_values.c.step)


@dataclass(slots=True)
class _Head:
    trial_id: int
    number: int
    state: TrialState
    start: datetime | None
    complete: datetime | None
    is_constrained: bool
    last_step: int | None
    values: list[float] | None = None

    def add_value(self, value: float | None, kind: str) -> None:
        number = number_of(value, kind)
        self.values = [number] if self.values is None else [*self.values, number]


class Distributions:
    """Distribution objects, each made once for its JSON text."""

    def __init__(self) -> None:
        self._by_text: dict[str, BaseDistribution] = {}
        self._sets: dict[tuple[tuple[str, int], ...], dict[str, BaseDistribution]] = {}

    def of(self, text: str) -> BaseDistribution:
        """The one distribution that ``text`` describes."""
        known = self._by_text.get(text)
        if known is None:
            known = self._by_text[text] = json_to_distribution(text)
        return known

    def interned(self, named: dict[str, BaseDistribution]) -> dict[str, BaseDistribution]:
        """The same distributions, by name, in the objects that all trials share."""
        return self.shared({name: self.of(distribution_to_json(one)) for name, one in named.items()})

    def shared(self, named: dict[str, BaseDistribution]) -> dict[str, BaseDistribution]:
        """One dictionary for all trials whose parameters have these names and distributions."""
        key = tuple((name, id(distribution)) for name, distribution in named.items())
        return self._sets.setdefault(key, named)


class TrialReader:
    """Reads trials of one study on connections that its caller holds."""

    def __init__(self, study_id: int, source: Source) -> None:
        self._study_id = study_id
        self._source = source
        self.distributions = Distributions()
        self.exact: dict[int, Times] = {}  # times of trials that this process has made or ended itself

    def read(self, c: sa.Connection, condition: sa.ColumnElement[bool] | None = None) -> list[FrozenTrial]:
        """The trials that meet ``condition``, in order of their ids.

        One statement, and four more where some of the trials are unfinished.
        """
        heads = self._heads(c, condition)
        unfinished = [head.trial_id for head in heads if not head.state.is_finished()]
        parts = {part: self.parts(c, part, unfinished) for part in PARTS} if unfinished else {}
        return [
            self._stored(head) if head.state.is_finished() else self._snapshot(head, parts) for head in heads
        ]

    def _heads(self, c: sa.Connection, condition: sa.ColumnElement[bool] | None) -> list[_Head]:
        query = _HEADS.where(trials.c.study_id == self._study_id)
        if condition is not None:
            query = query.where(condition)
        heads: list[_Head] = []
        for *head, value, kind in c.execute(query):
            if not heads or heads[-1].trial_id != head[0]:
                heads.append(_Head(*head))
            if kind is not None:
                heads[-1].add_value(value, kind)
        return heads

    def _stored(self, head: _Head) -> StoredTrial:
        return StoredTrial(
            head.trial_id,
            head.number,
            head.state,
            self._times(head),
            head.values,
            bool(head.is_constrained),
            head.last_step,
            self._source,
        )

    def _times(self, head: _Head) -> Times:
        """Start and end. Plain Optuna's tables on MySQL keep whole seconds; this process may know better."""
        start, complete = self.exact.get(head.trial_id, (None, None))
        return _closer(head.start, start), _closer(head.complete, complete)

    def parts(self, c: sa.Connection, part: str, trial_ids: Sequence[int]) -> Parts:
        """What belongs to some trials, given in rising order, by trial id; trials without any are left out.

        "params" gives pairs of parameters and distributions, the rest dictionaries.
        """
        read = self._params if part == "params" else partial(_dictionaries, part)
        found: Parts = {}
        for start in range(0, len(trial_ids), _BLOCK):
            block = trial_ids[start : start + _BLOCK]
            found.update(read(c, self._which(_TABLES[part], block)))
        return found

    def _which(self, table: sa.Table, ids: Sequence[int]) -> sa.ColumnElement[bool]:
        """These trials by their ids; a long and dense row of them as a range, within the study."""
        column: sa.ColumnElement[int] = table.c.trial_id
        is_dense = ids[-1] - ids[0] < _DENSE * len(ids)
        if len(ids) <= _FEW or not is_dense:
            return column.in_(ids)
        of_study = sa.select(trials.c.trial_id).where(
            trials.c.study_id == self._study_id, trials.c.trial_id.between(ids[0], ids[-1])
        )
        return column.in_(of_study)

    def _snapshot(self, head: _Head, parts: Mapping[str, Parts]) -> FrozenTrial:
        """An unfinished trial as it is now."""
        params, distributions = parts["params"].get(head.trial_id, ({}, {}))
        start, complete = self._times(head)
        return FrozenTrial(
            number=head.number,
            state=head.state,
            value=None,
            values=head.values,
            datetime_start=local(start),
            datetime_complete=local(complete),
            params=params,
            distributions=dict(distributions),
            user_attrs=parts["user_attrs"].get(head.trial_id, {}),
            system_attrs=parts["system_attrs"].get(head.trial_id, {}),
            intermediate_values=parts["intermediate_values"].get(head.trial_id, {}),
            trial_id=head.trial_id,
        )

    def _params(self, c: sa.Connection, which: sa.ColumnElement[bool]) -> Parts:
        params: dict[int, dict[str, Any]] = {}
        distributions: dict[int, dict[str, BaseDistribution]] = {}
        of = self.distributions.of
        for trial_id, name, value, text in c.execute(_PARAMS.where(which)):
            distribution = of(text)
            params.setdefault(trial_id, {})[name] = distribution.to_external_repr(value)
            distributions.setdefault(trial_id, {})[name] = distribution
        shared = self.distributions.shared
        return {trial_id: (mine, shared(distributions[trial_id])) for trial_id, mine in params.items()}


def _closer(stored: datetime | None, known: datetime | None) -> datetime | None:
    """What is known, where it may be what was stored and rounded to a second."""
    if stored is None or known is None or stored.microsecond or abs(stored - known) > _ROUNDING:
        return stored
    return known


def _dictionaries(part: str, c: sa.Connection, which: sa.ColumnElement[bool]) -> Parts:
    """User attributes, system attributes or intermediate values."""
    found: Parts = {}
    if part == "intermediate_values":
        for trial_id, step, value, kind in c.execute(_REPORTED.where(which)):
            found.setdefault(trial_id, {})[step] = number_of(value, kind)
        return found
    table = _TABLES[part].c
    for trial_id, key, text in c.execute(sa.select(table.trial_id, table.key, table.value_json).where(which)):
        found.setdefault(trial_id, {})[key] = json.loads(text)
    return found
