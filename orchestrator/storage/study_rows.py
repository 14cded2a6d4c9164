"""Studies in the database: a connection inside a transaction in; their names, directions, attributes out."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy

from orchestrator.sql.schema import (
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
from orchestrator.sql.upsert import upsert

_OF_TRIALS = (
    trial_params,
    trial_values,
    trial_intermediate_values,
    trial_user_attributes,
    trial_system_attributes,
    trial_heartbeats,
)
_OF_STUDIES = (study_directions, study_user_attributes, study_system_attributes, studies)
# Trials named in one statement; MariaDB takes longer lists for tables and reads other tables whole.
BATCH = 500


def insert_study(c: sa.Connection, name: str, directions: Sequence[StudyDirection]) -> int:
    """Write a new study; its id.

    Before that it deletes the runs of all studies that plain Optuna has deleted: SQLite may give the new one
    the id of such a study, and a new run may have the id of such a run (that of its directory or its job).
    """
    _forget_orphans(c)
    key = c.execute(sa.insert(studies).values(study_name=name)).inserted_primary_key
    assert key is not None
    rows = [
        {"study_id": key[0], "direction": direction, "objective": place}
        for place, direction in enumerate(directions)
    ]
    c.execute(sa.insert(study_directions), rows)
    return int(key[0])


def _forget_orphans(c: sa.Connection) -> None:
    """Delete runs whose study is gone, with their agents and attempts.

    A run is written after its study and deleted with it, so in one picture of the database a run without its
    study is an orphan. MySQL deletes what is there now, not in the picture, where a new run may have taken
    the orphan's id: so the runs are looked up again, and locked, by the study's id, which MySQL gives once.
    """
    query = sa.select(runs.c.study_id).where(runs.c.study_id.not_in(sa.select(studies.c.study_id)))
    gone = list(c.execute(query.distinct()).scalars())
    if gone:
        _delete_runs(c, runs.c.study_id.in_(gone))


def _delete_runs(c: sa.Connection, which: sa.ColumnElement[bool]) -> None:
    run_ids = list(c.execute(sa.select(runs.c.run_id).where(which).with_for_update()).scalars())
    if run_ids:
        for table in (attempts, agents, runs):
            c.execute(sa.delete(table).where(table.c.run_id.in_(run_ids)))


def delete_study(c: sa.Connection, study_id: int, keeps_runs: bool = True) -> None:
    """Delete a study with every row that belongs to it, ours included, from the leaves to the root.

    ``keeps_runs`` off: there are no tables of ours.
    """
    while delete_newest_trials(c, study_id, keeps_runs):
        pass
    if keeps_runs:
        _delete_runs(c, runs.c.study_id == study_id)
    for table in _OF_STUDIES:
        c.execute(sa.delete(table).where(table.c.study_id == study_id))


def delete_newest_trials(c: sa.Connection, study_id: int, keeps_runs: bool = True) -> int:
    """Delete at most ``BATCH`` trials of a study, the newest, with their rows; how many they were.

    They are named one by one: of a subquery MariaDB would make a walk over the whole table, and lock it.
    """
    newest = sa.select(trials.c.trial_id).where(trials.c.study_id == study_id)
    newest = newest.order_by(trials.c.trial_id.desc()).limit(BATCH)
    ids = list(c.execute(newest.with_for_update()).scalars())
    if ids:
        for table in (*_OF_TRIALS, *((attempts,) if keeps_runs else ()), trials):
            c.execute(sa.delete(table).where(table.c.trial_id.in_(ids)))
    return len(ids)


def require_study(c: sa.Connection, study_id: int) -> None:
    """``KeyError`` when there is no such study."""
    if c.execute(sa.select(studies.c.study_id).where(studies.c.study_id == study_id)).scalar() is None:
        raise KeyError(f"There is no study {study_id}.")


def study_id_of(c: sa.Connection, name: str) -> int | None:
    """The id of the study of that name."""
    found = c.execute(sa.select(studies.c.study_id).where(studies.c.study_name == name)).scalar()
    return None if found is None else int(found)


def name_of_study(c: sa.Connection, study_id: int) -> str:
    """The study's name; ``KeyError``."""
    name = c.execute(sa.select(studies.c.study_name).where(studies.c.study_id == study_id)).scalar()
    if name is None:
        raise KeyError(f"There is no study {study_id}.")
    return str(name)


def rename_study(c: sa.Connection, study_id: int, name: str) -> bool:
    """Give a study another name; False when there is no such study. ``IntegrityError``: the name is taken."""
    statement = sa.update(studies).where(studies.c.study_id == study_id).values(study_name=name)
    return c.execute(statement).rowcount == 1


def directions_of(c: sa.Connection, study_id: int) -> list[StudyDirection]:
    """The study's directions in order of the objectives; ``KeyError``."""
    table = study_directions.c
    query = sa.select(table.direction).where(table.study_id == study_id).order_by(table.objective)
    found = list(c.execute(query).scalars())
    if not found:
        raise KeyError(f"There is no study {study_id}.")
    return found


def set_study_attribute(c: sa.Connection, table: sa.Table, study_id: int, key: str, value: Any) -> None:
    """Write a user or system attribute over what was there; ``KeyError``."""
    require_study(c, study_id)
    row = {"study_id": study_id, "key": key, "value_json": json.dumps(value)}
    upsert(c, table, [row], ["study_id", "key"])


def study_attributes(c: sa.Connection, table: sa.Table, study_id: int) -> dict[str, Any]:
    """All user or all system attributes of a study; ``KeyError``."""
    rows = c.execute(sa.select(table.c.key, table.c.value_json).where(table.c.study_id == study_id)).all()
    if not rows:
        require_study(c, study_id)
    return {key: json.loads(text) for key, text in rows}


def all_studies(c: sa.Connection) -> list[FrozenStudy]:
    """Every study with its directions and attributes, in order of their ids; four statements."""
    order = sa.select(study_directions.c.study_id, study_directions.c.direction)
    directions: dict[int, list[StudyDirection]] = defaultdict(list)
    for study_id, direction in c.execute(order.order_by(study_directions.c.objective)):
        directions[study_id].append(direction)
    user, system = (_by_study(c, table) for table in (study_user_attributes, study_system_attributes))
    names = c.execute(sa.select(studies.c.study_id, studies.c.study_name).order_by(studies.c.study_id))
    return [
        FrozenStudy(
            study_name=name,
            direction=None,
            directions=directions[study_id],
            user_attrs=user.get(study_id, {}),
            system_attrs=system.get(study_id, {}),
            study_id=study_id,
        )
        for study_id, name in names
    ]


def _by_study(c: sa.Connection, table: sa.Table) -> dict[int, dict[str, Any]]:
    rows: Iterable[Any] = c.execute(sa.select(table.c.study_id, table.c.key, table.c.value_json))
    found: dict[int, dict[str, Any]] = defaultdict(dict)
    for study_id, key, text in rows:
        found[study_id][key] = json.loads(text)
    return found
