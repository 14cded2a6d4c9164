"""A study leaves its database: the database and the study's name in; its head and a stream of parts out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from orchestrator.carry.content import (
    AGENT_COLUMNS,
    ATTEMPT_COLUMNS,
    RUN_COLUMNS,
    Param,
    Parts,
    RunPart,
    StudyHead,
    TrialPart,
)
from orchestrator.errors import StudyError
from orchestrator.sql.database import Database
from orchestrator.sql.schema import (
    agents,
    attempts,
    runs,
    study_system_attributes,
    study_user_attributes,
    trial_intermediate_values,
    trial_params,
    trial_system_attributes,
    trial_user_attributes,
    trial_values,
    trials,
)
from orchestrator.storage.rows import number_of
from orchestrator.storage.study_rows import BATCH, directions_of, require_study, study_id_of

_VERSION = sa.table("version_info", sa.column("library_version"))

Grouped = dict[int, list[Any]]  # rows by trial id


class StudySource:
    """A study to be read once, batch by batch, in constant memory.

    Each batch is one transaction, repeated through a restart of the database like everything else: a trial is
    whole and as it was when its batch was read. Trials that were begun after the head was read are left out.
    """

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name
        self._keeps_runs = database.keeps_runs()
        self.study_id, self._last_id, self.head = database.read(self._head)

    def _head(self, c: sa.Connection) -> tuple[int, int, StudyHead]:
        study_id = study_id_of(c, self._name)
        if study_id is None:
            raise StudyError(f"There is no study '{self._name}'.")
        of_study = trials.c.study_id == study_id
        n, last = c.execute(sa.select(sa.func.count(), sa.func.max(trials.c.trial_id)).where(of_study)).one()
        head = StudyHead(
            name=self._name,
            directions=tuple(directions_of(c, study_id)),
            user_attrs=_attributes_of_study(c, study_user_attributes, study_id),
            system_attrs=_attributes_of_study(c, study_system_attributes, study_id),
            n_trials=n,
            taken=datetime.now(UTC).replace(tzinfo=None),
            optuna=c.execute(sa.select(_VERSION.c.library_version)).scalar(),
        )
        return study_id, -1 if last is None else last, head

    def parts(self) -> Parts:
        """The trials, then the runs. ``StudyError`` when trials were deleted meanwhile."""
        n, after = 0, -1
        while batch := self._next(after):
            after = batch[-1][0]
            n += len(batch)
            yield from (part for _, part in batch)
        self._require_unharmed(n)
        if self._keeps_runs:
            yield from self._database.read(self._runs)

    def _require_unharmed(self, n: int) -> None:
        try:
            self._database.read(lambda c: require_study(c, self.study_id))
        except KeyError:
            n = -1
        if n != self.head.n_trials:
            raise StudyError(f"Study '{self._name}' was deleted, or trials of it, while it was read.")

    def _next(self, after: int) -> list[tuple[int, TrialPart]]:
        """The batch after trial id ``after``, each part with its id."""
        return self._database.read(lambda c: self._batch(c, after))

    def _batch(self, c: sa.Connection, after: int) -> list[tuple[int, TrialPart]]:
        mine = sa.and_(
            trials.c.study_id == self.study_id, trials.c.trial_id > after, trials.c.trial_id <= self._last_id
        )
        heads = c.execute(sa.select(trials).where(mine).order_by(trials.c.trial_id).limit(BATCH)).all()
        ids = [head.trial_id for head in heads]
        if not ids:
            return []
        values, reported = _values(c, ids), _reported(c, ids)
        params, tried = _params(c, ids), self._attempts(c, ids)
        user = _attributes(c, trial_user_attributes, ids)
        system = _attributes(c, trial_system_attributes, ids)
        return [
            (
                head.trial_id,
                TrialPart(
                    number=head.number,
                    state=head.state,
                    start=head.datetime_start,
                    complete=head.datetime_complete,
                    values=tuple(values[head.trial_id]),
                    params=tuple(params[head.trial_id]),
                    reported=tuple(reported[head.trial_id]),
                    user_attrs=dict(user[head.trial_id]),
                    system_attrs=dict(system[head.trial_id]),
                    attempts=tuple(tried[head.trial_id]),
                ),
            )
            for head in heads
        ]

    def _attempts(self, c: sa.Connection, ids: Sequence[int]) -> Grouped:
        found: Grouped = defaultdict(list)
        if self._keeps_runs:
            query = sa.select(attempts.c.trial_id, *ATTEMPT_COLUMNS).where(attempts.c.trial_id.in_(ids))
            for row in c.execute(query.order_by(attempts.c.start_s)).mappings():
                found[row["trial_id"]].append({column.name: row[column] for column in ATTEMPT_COLUMNS})
        return found

    def _runs(self, c: sa.Connection) -> list[RunPart]:
        query = sa.select(*RUN_COLUMNS).where(runs.c.study_id == self.study_id).order_by(runs.c.start_s)
        found = c.execute(query).mappings().all()
        return [RunPart(dict(run), tuple(_agents(c, run["run_id"]))) for run in found]


def _agents(c: sa.Connection, run_id: str) -> Iterator[dict[str, Any]]:
    query = sa.select(*AGENT_COLUMNS).where(agents.c.run_id == run_id).order_by(agents.c.start_s)
    yield from map(dict, c.execute(query).mappings())


def _attributes_of_study(c: sa.Connection, table: sa.Table, study_id: int) -> dict[str, str]:
    query = sa.select(table.c.key, table.c.value_json).where(table.c.study_id == study_id)
    return {row.key: row.value_json for row in c.execute(query)}


def _attributes(c: sa.Connection, table: sa.Table, ids: Sequence[int]) -> Grouped:
    found: Grouped = defaultdict(list)
    query = sa.select(table.c.trial_id, table.c.key, table.c.value_json).where(table.c.trial_id.in_(ids))
    for trial_id, key, text in c.execute(query):
        found[trial_id].append((key, text))
    return found


def _params(c: sa.Connection, ids: Sequence[int]) -> Grouped:
    found: Grouped = defaultdict(list)
    table = trial_params.c
    query = sa.select(table.trial_id, table.param_name, table.param_value, table.distribution_json)
    for trial_id, *param in c.execute(query.where(table.trial_id.in_(ids)).order_by(table.param_id)):
        found[trial_id].append(Param(*param))
    return found


def _values(c: sa.Connection, ids: Sequence[int]) -> Grouped:
    found: Grouped = defaultdict(list)
    table = trial_values.c
    query = sa.select(table.trial_id, table.value, table.value_type).where(table.trial_id.in_(ids))
    for trial_id, value, kind in c.execute(query.order_by(table.objective)):
        found[trial_id].append(number_of(value, kind))
    return found


def _reported(c: sa.Connection, ids: Sequence[int]) -> Grouped:
    found: Grouped = defaultdict(list)
    table = trial_intermediate_values.c
    query = sa.select(
        table.trial_id, table.step, table.intermediate_value, table.intermediate_value_type
    ).where(table.trial_id.in_(ids))
    for trial_id, step, value, kind in c.execute(query.order_by(table.step)):
        found[trial_id].append((step, number_of(value, kind)))
    return found
