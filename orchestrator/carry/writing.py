"""A study enters a database: its head and parts in; the whole study under its name out, or nothing."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy import exc

from orchestrator.carry.bulk import insert, insert_contents, trial_row
from orchestrator.carry.content import Parts, RunPart, StudyHead, TrialPart
from orchestrator.carry.landing import Running, landed_run, landed_trial
from orchestrator.carry.run_ids import RunIds
from orchestrator.errors import StorageError, StudyError
from orchestrator.sql.database import Database
from orchestrator.sql.failures import said
from orchestrator.sql.schema import (
    agents,
    attempts,
    runs,
    study_system_attributes,
    study_user_attributes,
    trials,
)
from orchestrator.storage.deletion import delete_in_batches
from orchestrator.storage.renaming import MAX_NAME, name_taken, require_name
from orchestrator.storage.study_rows import insert_study, rename_study, study_id_of

log = logging.getLogger("nano_hpo")

_BATCH = 1_000  # trials written in one transaction
_MANY = 5_000  # trials whose deletion is worth a line


@dataclass(frozen=True, slots=True)
class Landed:
    """What was written."""

    study_name: str
    n_trials: int
    n_were_running: int  # trials that were at work, now waiting or failed
    n_runs: int


def land_study(
    database: Database,
    head: StudyHead,
    parts: Parts,
    name: str,
    running: Running = "wait",
    written: Callable[[int], None] = lambda n: None,
) -> Landed:
    """Write a study as ``name``, batch by batch; ``written`` hears how many trials each one had.

    All the time it has another name, and its runs have other ids; the last transaction gives them their own.
    When anything goes wrong, an interruption too, the study is deleted again; only the death of this process
    can leave it, under that other name.
    Raises ``StudyError`` when there is a study of that name.
    """
    require_name(name)
    landing = _Landing(database, head, running)
    landing.require_free(name)
    try:
        landing.begin(f"unfinished import {uuid.uuid4().hex[:8]} of {name}"[:MAX_NAME])
        while batch := list(islice(parts, _BATCH)):
            landing.add(batch)
            written(sum(isinstance(part, TrialPart) for part in batch))
        landing.publish(name)
    except BaseException:
        landing.undo()
        raise
    return Landed(name, landing.n_trials, landing.n_were_running, landing.n_runs)


class _Landing:
    """One study on its way into a database. Every transaction recognises itself when it is repeated."""

    def __init__(self, database: Database, head: StudyHead, running: Running) -> None:
        self._database = database
        self._head = head
        self._running: Running = running
        self._study_id = -1
        self._temporary_name = ""
        self._last_id = -1  # of the trials that are committed
        self._run_ids = RunIds()
        self._agent_ids: dict[str, str] = {}  # there: here
        self.n_trials = self.n_were_running = self.n_runs = 0

    def require_free(self, name: str) -> None:
        if self._database.read(lambda c: study_id_of(c, name)) is not None:
            raise name_taken(name)

    def begin(self, temporary_name: str) -> None:
        """Write the study without trials."""
        self._temporary_name = temporary_name

        def work(c: sa.Connection) -> int:
            known = study_id_of(c, temporary_name)
            return self._insert_head(c, temporary_name) if known is None else known

        self._study_id = self._written("the study", work)

    def _insert_head(self, c: sa.Connection, name: str) -> int:
        study_id = insert_study(c, name, self._head.directions)
        attributes = {
            study_user_attributes: self._head.user_attrs,
            study_system_attributes: self._head.system_attrs,
        }
        for table, attrs in attributes.items():
            insert(c, table, [{"study_id": study_id, "key": k, "value_json": t} for k, t in attrs.items()])
        return study_id

    def add(self, batch: Sequence[TrialPart | RunPart]) -> None:
        """Write some trials and runs in one transaction."""
        taken = self._head.taken
        was_running = sum(isinstance(p, TrialPart) and p.state is TrialState.RUNNING for p in batch)
        some_trials = [landed_trial(p, taken, self._running) for p in batch if isinstance(p, TrialPart)]
        some_runs = [landed_run(p, taken) for p in batch if isinstance(p, RunPart)]
        if some_trials:
            what = f"trials {some_trials[0].number} to {some_trials[-1].number}"
            self._last_id = self._written(what, lambda c: self._insert_trials(c, some_trials))
        if some_runs:
            self._written("the runs", lambda c: self._insert_runs(c, some_runs))
        self.n_trials += len(some_trials)
        self.n_runs += len(some_runs)
        self.n_were_running += was_running

    def _insert_trials(self, c: sa.Connection, some: Sequence[TrialPart]) -> int:
        """The id of the last trial."""
        ids = self._ids_after(c)
        if ids:  # the answer to the commit was lost
            return ids[-1]
        insert(c, trials, [{"study_id": self._study_id, **trial_row(part)} for part in some])
        ids = self._ids_after(c)
        insert_contents(c, ids, some)
        insert(c, attempts, list(self._attempt_rows(ids, some)))
        return ids[-1]

    def _ids_after(self, c: sa.Connection) -> list[int]:
        """The ids of the trials since the last batch: they rise in the order in which rows are written."""
        mine = sa.and_(trials.c.study_id == self._study_id, trials.c.trial_id > self._last_id)
        return list(c.execute(sa.select(trials.c.trial_id).where(mine).order_by(trials.c.trial_id)).scalars())

    def _attempt_rows(self, ids: Sequence[int], some: Sequence[TrialPart]) -> Iterator[dict[str, Any]]:
        for trial_id, part in zip(ids, some, strict=True):
            for row in part.attempts:
                run_id, agent_id = self._run_ids.while_landing(row["run_id"]), self._agent_id(row["agent_id"])
                own = {"run_id": run_id, "agent_id": agent_id, "token": uuid.uuid4().hex}
                yield {**row, **own, "trial_id": trial_id}

    def _insert_runs(self, c: sa.Connection, some: Sequence[RunPart]) -> None:
        mine = sa.select(runs.c.run_id).where(runs.c.study_id == self._study_id)
        written = set(c.execute(mine).scalars())
        for part in some:
            run_id = self._run_ids.while_landing(part.run["run_id"])
            if run_id in written:
                continue  # the answer to the commit was lost
            insert(c, runs, [{**part.run, "run_id": run_id, "study_id": self._study_id}])
            ids = {"run_id": run_id, "heartbeat_s": 0.0}
            some_agents = ({**row, **ids, "agent_id": self._agent_id(row["agent_id"])} for row in part.agents)
            insert(c, agents, list(some_agents))

    def _agent_id(self, there: str) -> str:
        return self._agent_ids.setdefault(there, uuid.uuid4().hex)

    def publish(self, name: str) -> None:
        """Give the study its name, and its runs their ids."""

        def work(c: sa.Connection) -> None:
            self._run_ids.settle(c)
            self._rename(c, name)

        self._written("the names of the study and its runs", work)

    def _rename(self, c: sa.Connection, name: str) -> None:
        try:
            is_there = rename_study(c, self._study_id, name)
        except exc.IntegrityError:
            raise name_taken(name) from None
        if not is_there:
            raise StudyError(f"Study '{self._temporary_name}' was deleted while it was written.")

    def undo(self) -> None:
        """Delete what was written. It is tried for a moment only: the database may be what went wrong."""
        try:
            with self._database.hasty():
                study_id = self._database.read(lambda c: study_id_of(c, self._temporary_name))
                if study_id is not None:
                    if self.n_trials > _MANY:
                        log.warning("Taking back the %s trials that were written.", f"{self.n_trials:,}")
                    delete_in_batches(self._database, study_id)
        except exc.SQLAlchemyError:
            log.warning("Study '%s' is left; 'nano-hpo delete' deletes it.", self._temporary_name)

    def _written(self, what: str, work: Callable[[sa.Connection], Any]) -> Any:
        """Write; what the database refuses is one line."""
        try:
            return self._database.write(work)
        except (exc.DataError, exc.IntegrityError, UnicodeEncodeError, OverflowError) as error:
            raise StorageError(f"The database refuses {what}: {said(error)}.") from None
