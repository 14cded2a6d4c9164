"""Runs and their agents in the database: identities, heartbeats and ends."""

from __future__ import annotations

import getpass
import json
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from optuna.exceptions import DuplicatedStudyError
from optuna.study import StudyDirection
from optuna.study.study import _SYSTEM_ATTR_METRIC_NAMES

from orchestrator.host import HostProcess
from orchestrator.records import RunRecord
from orchestrator.spec import RunSpec
from orchestrator.sql.database import Database, knowing_itself
from orchestrator.sql.schema import agents, database_now, runs, studies, study_system_attributes
from orchestrator.sql.upsert import upsert
from orchestrator.storage.study_rows import insert_study
from orchestrator.versions import recorded_versions

RUNNING, FINISHED, STOPPED, FAILED = "running", "finished", "stopped", "failed"
STOPPING = "stopping"  # running, but somebody has asked it to end: no trial begins any more
UNENDED = (RUNNING, STOPPING)
STALE_AFTER_S = 60.0
_OF_AGENTS = tuple(column for column in agents.columns if column.name != "machine")  # which may be long


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A row of ``nano_runs`` with what a launch needs to join it."""

    record: RunRecord
    study_id: int
    spec_hash: str
    seed: int
    ended_s: float | None  # seconds since its end; None: it runs


@dataclass(frozen=True, slots=True)
class StoredAgent:
    """A row of ``nano_agents``; ``stale`` by the database's clock."""

    agent_id: str
    run_id: str
    rank: int
    process: HostProcess
    heartbeat_s: float  # the database's clock
    stale: bool
    ended: bool  # it said goodbye, or others took it for dead
    report: dict[str, Any] | None
    n_ranks: int = 1  # of its launch
    left_s: float | None = None  # until its time is over; None: no end is known
    job: str | None = None  # of Slurm, which names it so
    start_s: float = 0.0  # the database's clock
    last_s: float = 0.0  # when it was last heard of

    @property
    def said_goodbye(self) -> bool:
        """Whether it ended by itself: only then there is a report of it."""
        return self.report is not None

    @property
    def is_live(self) -> bool:
        """Whether it takes part, by one look: on this machine by its process, elsewhere by its heartbeat.

        Just after an outage of the database this is too hard on agents elsewhere: it is for commands, not
        for taking trials away.
        """
        if self.ended or self.process.rebooted_away():
            return False
        return self.process.is_alive() if self.process.is_here() else not self.stale


@dataclass(frozen=True, slots=True)
class NewStudy:
    """A study that is made with its run. ``replaces`` is the id of one of that name, which gets another."""

    name: str
    directions: tuple[str, ...]
    metric_names: tuple[str, ...] = ()
    replaces: int | None = None

    def insert(self, c: sa.Connection) -> int:
        """Write it within a transaction; its id. ``IntegrityError``: there is one of that name."""
        if self.replaces is not None:
            move_aside(c, self.replaces, self.name)
        study_id = insert_study(c, self.name, [StudyDirection[one.upper()] for one in self.directions])
        if self.metric_names:
            names = {"key": _SYSTEM_ATTR_METRIC_NAMES, "value_json": json.dumps(list(self.metric_names))}
            c.execute(sa.insert(study_system_attributes).values(study_id=study_id, **names))
        return study_id


def move_aside(c: sa.Connection, study_id: int, name: str) -> None:
    """Make room for another study of that name: this one's gets the time; nothing is deleted."""
    replaced = f"{name} (replaced {datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f})"
    c.execute(sa.update(studies).where(studies.c.study_id == study_id).values(study_name=replaced))


class RunTable:
    """Reads and writes ``nano_runs`` and ``nano_agents``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, run_id: str, study: int | NewStudy, spec: RunSpec, seed: int) -> bool:
        """Write a run, with the seed it really uses, on a stored study or with a new one: in one transaction.

        Of several callers with one id, True for the one that did it. ``DuplicatedStudyError``: somebody has
        made a study of that name.
        """
        row = {
            "run_id": run_id,
            "owner": user_name(),
            "spec": json.dumps(_stored_spec(spec, seed), default=repr),
            "spec_hash": spec.identity_hash(),
            "seed": seed,
            "n_trials": spec.n_trials,
            "claimed": 0,
            "state": RUNNING,
            "mark": uuid.uuid4().hex,
        }
        mine = sa.and_(runs.c.run_id == run_id, runs.c.mark == row["mark"])

        def work(c: sa.Connection, again: bool) -> bool:
            if again and _is_there(c, mine):
                return True
            if _is_there(c, sa.and_(runs.c.run_id == run_id, runs.c.study_id == studies.c.study_id)):
                return False  # without its study it is an orphan, which a new study removes
            study_id = study if isinstance(study, int) else study.insert(c)
            c.execute(sa.insert(runs).values(**row, study_id=study_id, start_s=database_now()))
            return True

        try:
            return self._database.write(knowing_itself(work))
        except sa.exc.IntegrityError:  # somebody was quicker
            if self.find(run_id) is not None:
                return False
            raise DuplicatedStudyError(f"Another study of the name of run {run_id} was made.") from None

    def find(self, run_id: str) -> StoredRun | None:
        """The run of that id."""
        return next(iter(self._select(runs.c.run_id == run_id)), None)

    def of_study(self, study_id: int) -> list[StoredRun]:
        """All runs on a study, in order of their start."""
        return self._select(runs.c.study_id == study_id)

    def _select(self, condition: Any) -> list[StoredRun]:
        ended_s = (database_now() - runs.c.end_s).label("ended_s")
        query = sa.select(runs, ended_s).where(condition).order_by(runs.c.start_s)
        return [_stored_run(row) for row in self._database.read(lambda c: c.execute(query).all())]

    def reopen(self, run_id: str) -> None:
        """A stopped run goes on: its state is running again."""
        self._set(run_id, state=RUNNING, reason=None, end_s=None)

    def ask_to_stop(self, run_id: str, reason: str) -> bool:
        """Let no trial of a running run begin; its agents see it within seconds. False: it does not run."""
        is_running = sa.and_(runs.c.run_id == run_id, runs.c.state == RUNNING)
        change = sa.update(runs).where(is_running).values(state=STOPPING, reason=reason)
        return self._database.write(lambda c: c.execute(change).rowcount) == 1

    def asked_to_stop(self, run_id: str) -> str | None:
        """Why the run is to end, if somebody has asked for it; one statement."""
        query = sa.select(runs.c.reason).where(runs.c.run_id == run_id, runs.c.state == STOPPING)
        return self._database.read(lambda c: c.execute(query).scalar())

    def end(self, run_id: str, state: str, reason: str | None) -> bool:
        """End a running run; of several callers, True for the one that did it.

        Repeated after a lost answer it knows its own end by its mark.
        """
        end = {"state": state, "reason": reason, "mark": uuid.uuid4().hex}
        is_unended = sa.and_(runs.c.run_id == run_id, runs.c.state.in_(UNENDED))
        mine = sa.and_(runs.c.run_id == run_id, runs.c.mark == end["mark"])
        change = sa.update(runs).where(is_unended).values(**end, end_s=database_now())

        def work(c: sa.Connection, again: bool) -> bool:
            return c.execute(change).rowcount == 1 or (again and _is_there(c, mine))

        return self._database.write(knowing_itself(work))

    def _set(self, run_id: str, **values: Any) -> None:
        statement = sa.update(runs).where(runs.c.run_id == run_id).values(**values)
        self._database.write(lambda c: c.execute(statement))

    def register_agent(
        self,
        agent_id: str,
        run_id: str,
        rank: int,
        process: HostProcess,
        n_ranks: int = 1,
        job: str | None = None,
        machine: Mapping[str, Any] | None = None,
    ) -> None:
        """Announce this process as an agent of the run, on a ``machine`` as ``machine_report`` tells it."""
        row = {
            "agent_id": agent_id,
            "run_id": run_id,
            "rank": rank,
            "host": process.host,
            "boot_id": process.boot_id,
            "pid": process.pid,
            "pid_start_s": process.start_s,
            "heartbeat_s": database_now(),
            "start_s": database_now(),
            "n_ranks": n_ranks,
            "job": job,
            "machine": None if machine is None else json.dumps(machine),
        }
        # Its id is new: one that is there already was written by the same call, whose answer was lost.
        self._database.write(lambda c: upsert(c, agents, [row], ["agent_id"], keep=True))

    def beat(
        self, agent_id: str, left_s: float | None = None, machine: Mapping[str, Any] | None = None
    ) -> None:
        """This agent lives, and has so many seconds left. It undoes that others took the agent for dead.

        ``machine``: what is known of it now; None: nothing else than before. One statement.
        """
        mine = sa.and_(agents.c.agent_id == agent_id, agents.c.report.is_(None))
        until_s = None if left_s is None else database_now() + left_s
        alive: dict[str, Any] = {"heartbeat_s": database_now(), "end_s": None, "until_s": until_s}
        alive |= {} if machine is None else {"machine": json.dumps(machine)}
        statement = sa.update(agents).where(mine).values(alive)
        self._database.write(lambda c: c.execute(statement))

    def end_agent(self, agent_id: str, report: dict[str, Any]) -> None:
        """This agent says goodbye; ``report`` is what its slots got."""
        values = {"end_s": database_now(), "report": json.dumps(report)}
        statement = sa.update(agents).where(agents.c.agent_id == agent_id).values(values)
        self._database.write(lambda c: c.execute(statement))

    def declare_dead(self, agent: StoredAgent) -> bool:
        """Others found it gone: it takes no further part until it beats. False: it has beaten meanwhile."""
        # Not "==": a float may lose its last digit on the way through a driver. Beats are seconds apart.
        unmoved = sa.and_(agents.c.agent_id == agent.agent_id, agents.c.heartbeat_s < agent.heartbeat_s + 0.5)
        ended = {"end_s": sa.func.coalesce(agents.c.end_s, database_now())}
        statement = sa.update(agents).where(unmoved).values(ended)
        return self._database.write(lambda c: c.execute(statement).rowcount) == 1

    def agents_of(self, run_id: str) -> list[StoredAgent]:
        """The agents of a run, in order of their start."""
        stale = (database_now() - agents.c.heartbeat_s > STALE_AFTER_S).label("stale")
        left_s = (agents.c.until_s - database_now()).label("left_s")
        query: sa.Select[Any] = sa.select(*_OF_AGENTS, stale, left_s).where(agents.c.run_id == run_id)
        rows = self._database.read(lambda c: c.execute(query.order_by(agents.c.start_s)).all())
        return [_stored_agent(row) for row in rows]

    def machines_of(self, agent_ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """What these agents have told of their machines; those that have told nothing are missing."""
        query = sa.select(agents.c.agent_id, agents.c.machine)
        query = query.where(agents.c.agent_id.in_(agent_ids), agents.c.machine.is_not(None))
        rows = self._database.read(lambda c: c.execute(query).all()) if agent_ids else []
        return {row.agent_id: json.loads(row.machine) for row in rows}


def _stored_spec(spec: RunSpec, seed: int) -> dict[str, Any]:
    """The settings with what the run really uses: its seed, and the versions that draw its trials."""
    return {**spec.as_json(), "seed": seed, "versions": recorded_versions()}


def _is_there(c: sa.Connection, condition: Any) -> bool:
    return c.execute(sa.select(runs.c.run_id).where(condition)).first() is not None


def _stored_run(row: sa.Row[Any]) -> StoredRun:
    record = RunRecord(
        run_id=row.run_id,
        owner=row.owner,
        spec=json.loads(row.spec),
        n_trials=row.n_trials,
        claimed=row.claimed,
        state=row.state,
        reason=row.reason,
        start=utc(row.start_s),
        end=utc(row.end_s) if row.end_s is not None else None,
    )
    return StoredRun(record, row.study_id, row.spec_hash, row.seed, row.ended_s)


def _stored_agent(row: sa.Row[Any]) -> StoredAgent:
    return StoredAgent(
        agent_id=row.agent_id,
        run_id=row.run_id,
        rank=row.rank,
        process=HostProcess(row.host, row.boot_id, row.pid, row.pid_start_s),
        heartbeat_s=row.heartbeat_s,
        stale=bool(row.stale),
        ended=row.end_s is not None,
        report=json.loads(row.report) if row.report else None,
        n_ranks=row.n_ranks or 1,
        left_s=None if row.left_s is None else max(0.0, row.left_s),
        job=row.job,
        start_s=row.start_s,
        last_s=row.heartbeat_s or row.end_s or row.start_s,  # one that was imported has no heartbeat
    )


def utc(seconds: float) -> datetime:
    """Seconds since the epoch as naive UTC, the form of Optuna's tables."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def user_name() -> str:
    """Who this process belongs to, for people."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
