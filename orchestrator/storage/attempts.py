"""Attempts as the agents of a run see them: lost ones given back or released, counts and states.

An attempt is one try of one worker at one trial. Its life::

    running ──► ended        it finished the trial (COMPLETE, PRUNED, or FAIL by its own fault)
       │
       ├──► returned ──► lost     its worker died; the trial stays RUNNING until another worker takes it
       └──► waiting  ──► lost     the run stopped; the trial is WAITING until the run, or anyone, goes on

A run is done when N attempts are "ended". Changes of several trials lock the study's row first, as claims do
(``orchestrator.storage.claims``), so they are serial per study, on any number of nodes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy import exc

from orchestrator.causes import COUNTED, DEATHS, Cause, described
from orchestrator.sql.database import Database
from orchestrator.sql.failures import said
from orchestrator.sql.schema import (
    attempts,
    database_now,
    trial_intermediate_values,
    trial_params,
    trial_system_attributes,
    trials,
)
from orchestrator.sql.upsert import upsert
from orchestrator.storage.rows import (
    PARAM_KEY,
    fix_params,
    lock_study,
    now,
    param_row,
    set_attempt,
    set_attribute,
    set_trial,
    write_while_running,
)

T = TypeVar("T")

log = logging.getLogger("nano_hpo")

_REFUSED = (exc.DataError, exc.IntegrityError)  # too long, or with characters that the database lacks
CAUSE = "nano:cause"  # the trial's system attribute that says why it failed
LOST = "nano:lost"  # the trial's system attribute that says how its earlier attempts were lost, one by one
CHECKPOINT = "nano:checkpoint"  # the step up to which the trial's folder goes (orchestrator.trial_folder)
_MAX_NOTED = 20  # losses that a trial itself tells of
MAX_DEATHS = 3  # of workers over one trial: then it is failed for good
RUNG = "completed_rung_%"  # what the successive-halving pruners keep about an attempt
FINISHED_STATES = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)

Suggested = Mapping[str, tuple[float, str]]


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a worker sits: recorded with each attempt."""

    run_id: str
    agent_id: str
    slot: int
    cpus: str
    cpu_model: str
    slot_width: int
    pid: int


@dataclass(frozen=True, slots=True)
class Loss:
    """How a worker's attempt was lost, and what it had told of its trial.

    ``params`` are relative parameters that were sampled already; ``suggested`` those that the objective has
    asked for and that the worker may not have stored: internal value and distribution (JSON) by name.
    """

    cause: Cause
    detail: str = ""
    exit_status: int | None = None
    peak_rss_mib: float | None = None
    cpu_s: float | None = None
    took_more_than_its_share: bool = False  # of the memory
    params: Mapping[str, Any] | None = None
    suggested: Suggested = field(default_factory=dict)

    def __str__(self) -> str:
        return described(self.cause, self.detail)

    @property
    def is_own_fault(self) -> bool:
        """Whether the trial has broken a limit, or made memory short by itself."""
        is_greed = self.cause is Cause.KILLED_FOR_MEMORY and self.took_more_than_its_share
        return self.cause.is_own_fault or is_greed


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """An attempt that nobody has ended, and the number of its trial."""

    token: str
    trial_id: int
    number: int


@dataclass(frozen=True, slots=True)
class Result:
    """How an attempt finished its trial."""

    state: TrialState
    values: Sequence[float] | None
    cause: Cause
    objective_s: float | None = None
    peak_rss_mib: float | None = None
    cpu_s: float | None = None
    error: str = ""  # why it failed, for people
    complete: datetime = field(default_factory=now)  # naive UTC


class StaleAttempt(Exception):
    """The attempt was declared lost meanwhile: its result is not taken."""


class AttemptTable:
    """Reads and writes ``nano_attempts`` with the trials it concerns."""

    def __init__(self, database: Database, study_id: int) -> None:
        self._database = database
        self._study_id = study_id

    def open_attempt(self, agent_id: str, slot: int) -> OpenAttempt | None:
        """The attempt that the dead worker of a slot left behind."""
        query = (
            sa.select(attempts.c.token, attempts.c.trial_id, trials.c.number)
            .join(trials, trials.c.trial_id == attempts.c.trial_id)
            .where(attempts.c.agent_id == agent_id, attempts.c.slot == slot, attempts.c.state == "running")
        )
        row = self._database.read(lambda c: c.execute(query).first())
        return None if row is None else OpenAttempt(row.token, row.trial_id, row.number)

    def open_attempts(self, run_id: str) -> list[tuple[str, str, int]]:
        """Agent, token and trial id of every attempt of a run that nobody has ended."""
        query = sa.select(attempts.c.agent_id, attempts.c.token, attempts.c.trial_id).where(
            attempts.c.run_id == run_id, attempts.c.state == "running"
        )
        rows = self._database.read(lambda c: c.execute(query).all())
        return [(row.agent_id, row.token, int(row.trial_id)) for row in rows]

    def keep_suggested(self, token: str, trial_id: int, suggested: Suggested) -> None:
        """Store parameters that a worker has told its agent of; nothing happens if its attempt is over."""
        try:
            self._database.write(lambda c: self._keep_suggested(c, token, trial_id, suggested))
        except _REFUSED as error:
            log.warning("Parameters of a running trial are refused: %s.", said(error))

    def _keep_suggested(self, c: sa.Connection, token: str, trial_id: int, suggested: Suggested) -> None:
        rows = _param_rows(trial_id, suggested)
        if rows:
            write_while_running(c, token, trial_params, rows, PARAM_KEY, keep=True)

    def _add_suggested(self, c: sa.Connection, trial_id: int, suggested: Suggested) -> None:
        """Who finished the trial elsewhere could not know these."""
        upsert(c, trial_params, _param_rows(trial_id, suggested), PARAM_KEY, keep=True)

    def _lost(self, change: Callable[[sa.Connection, Loss], T], loss: Loss) -> T:
        """Make a change; without what the worker had told, should the database refuse that."""
        try:
            return self._database.write(lambda c: change(c, loss))
        except _REFUSED as error:
            log.warning("Parameters of a lost trial are refused: %s.", said(error))
            untold = replace(loss, params=None, suggested={})
            return self._database.write(lambda c: change(c, untold))

    def give_back(self, token: str, trial_id: int, loss: Loss, max_retries: int) -> str:
        """The worker died: the trial goes to the next free worker with its number and parameters.

        It is failed for good instead if the loss is its own fault, if three workers have died over it, or
        after ``max_retries`` retries. Returns "returned", "failed", or "gone" when the attempt had ended
        already.
        """
        return self._lost(lambda c, loss: self._give_back(c, token, trial_id, loss, max_retries), loss)

    def _give_back(self, c: sa.Connection, token: str, trial_id: int, loss: Loss, max_retries: int) -> str:
        if not self._lose(c, token, trial_id, loss, "returned"):
            return "gone"
        verdict = self._verdict(c, trial_id, loss, max_retries)
        if verdict is None:
            return "returned"
        set_attempt(c, token, state="ended")
        set_trial(c, trial_id, state=TrialState.FAIL, datetime_complete=now())
        set_attribute(c, trial_id, CAUSE, verdict)
        return "failed"

    def _verdict(self, c: sa.Connection, trial_id: int, loss: Loss, max_retries: int) -> str | None:
        """Why the trial is not to be tried again; None: it is."""
        if loss.is_own_fault:
            return str(loss)
        query = sa.select(attempts.c.cause).where(
            attempts.c.trial_id == trial_id, attempts.c.cause.in_(COUNTED)
        )
        causes = list(c.execute(query).scalars())
        deaths = sum(cause in DEATHS for cause in causes)
        if deaths >= MAX_DEATHS:
            return f"{deaths} workers died over it, the last: {loss}"
        return f"lost {len(causes)} times, the last: {loss}" if len(causes) > max_retries else None

    def release(self, token: str, trial_id: int, loss: Loss) -> None:
        """The run stops with the trial unfinished: it becomes WAITING, with its number and parameters."""
        self._lost(lambda c, loss: self._release(c, token, trial_id, loss), loss)

    def _release(self, c: sa.Connection, token: str, trial_id: int, loss: Loss) -> None:
        if self._lose(c, token, trial_id, loss, "waiting"):
            set_trial(c, trial_id, state=TrialState.WAITING)

    def _lose(self, c: sa.Connection, token: str, trial_id: int, loss: Loss, becomes: str) -> bool:
        """End the attempt and clear what would disturb the next; False when it had ended already."""
        lock_study(c, self._study_id)
        self._keep_suggested(c, token, trial_id, loss.suggested)
        mine = sa.and_(attempts.c.token == token, attempts.c.state == "running")
        ended = {"state": becomes, "end_s": database_now(), "cause": loss.cause, "detail": loss.detail}
        known = {"exit_status": loss.exit_status, "peak_rss_mib": loss.peak_rss_mib, "cpu_s": loss.cpu_s}
        if c.execute(sa.update(attempts).where(mine).values(**ended, **known)).rowcount != 1:
            return False
        state = c.execute(sa.select(trials.c.state).where(trials.c.trial_id == trial_id)).scalar()
        if state in FINISHED_STATES:
            set_attempt(c, token, state="ended", cause=Cause.FINISHED_ELSEWHERE)
            self._add_suggested(c, trial_id, loss.suggested)
            return False
        self._clear(c, trial_id)
        self._note_loss(c, trial_id, loss)
        if loss.params:
            fix_params(c, trial_id, loss.params)
        return True

    def _clear(self, c: sa.Connection, trial_id: int) -> None:
        """Delete what was reported after the checkpoint: ``report()`` ignores a step that is there already.

        What successive halving keeps goes as well: the next attempt would be pruned by it.
        """
        reported, attributes = trial_intermediate_values, trial_system_attributes
        checkpoint = _attribute(c, trial_id, CHECKPOINT)
        later = sa.true() if checkpoint is None else reported.c.step > checkpoint
        c.execute(sa.delete(reported).where(reported.c.trial_id == trial_id, later))
        c.execute(sa.delete(attributes).where(attributes.c.trial_id == trial_id, attributes.c.key.like(RUNG)))

    def _note_loss(self, c: sa.Connection, trial_id: int, loss: Loss) -> None:
        earlier = _attribute(c, trial_id, LOST) or []
        set_attribute(c, trial_id, LOST, [*earlier, str(loss)][-_MAX_NOTED:])

    def release_returned(self, run_id: str) -> None:
        """The run stops: trials that were given back and not taken again become WAITING."""
        self._database.write(lambda c: self._release_returned(c, run_id))

    def _release_returned(self, c: sa.Connection, run_id: str) -> None:
        lock_study(c, self._study_id)
        query = sa.select(attempts.c.token, attempts.c.trial_id).where(
            attempts.c.run_id == run_id, attempts.c.state == "returned"
        )
        for row in c.execute(query).all():
            set_attempt(c, row.token, state="waiting")
            running = sa.and_(trials.c.trial_id == row.trial_id, trials.c.state == TrialState.RUNNING)
            c.execute(sa.update(trials).where(running).values(state=TrialState.WAITING))

    def counts(self, run_id: str) -> dict[str, int]:
        """Attempts of a run by state; "ended" is the number of its finished trials."""
        query = (
            sa.select(attempts.c.state, sa.func.count())
            .where(attempts.c.run_id == run_id)
            .group_by(attempts.c.state)
        )
        return {state: int(n) for state, n in self._database.read(lambda c: c.execute(query).all())}

    def durations_s(self, run_id: str, n_latest: int) -> list[float]:
        """Seconds in the objective of the latest attempts of a run that returned a value, in their order."""
        query = (
            sa.select(attempts.c.objective_s)
            .join(trials, trials.c.trial_id == attempts.c.trial_id)
            .where(attempts.c.run_id == run_id, attempts.c.state == "ended")
            .where(attempts.c.objective_s.is_not(None), trials.c.state == TrialState.COMPLETE)
            .order_by(attempts.c.end_s.desc())
            .limit(n_latest)
        )
        return list(self._database.read(lambda c: c.execute(query).scalars().all()))[::-1]

    def has_given_back(self, run_id: str) -> bool:
        """Whether a trial of the run waits for a worker: given back, or released and taken by nobody."""
        returned = attempts.c.state == "returned"
        released = sa.and_(attempts.c.state == "waiting", trials.c.state == TrialState.WAITING)
        query = (
            sa.select(attempts.c.token)
            .join(trials, trials.c.trial_id == attempts.c.trial_id)
            .where(attempts.c.run_id == run_id, sa.or_(returned, released))
            .limit(1)
        )
        return self._database.read(lambda c: c.execute(query).first()) is not None

    def settle(self, run_id: str) -> None:
        """Count trials of ours that somebody else finished while they were waiting."""

        def work(c: sa.Connection) -> None:
            lock_study(c, self._study_id)
            query = (
                sa.select(attempts.c.token)
                .join(trials, trials.c.trial_id == attempts.c.trial_id)
                .where(attempts.c.run_id == run_id, attempts.c.state.in_(("returned", "waiting")))
                .where(trials.c.state.in_(FINISHED_STATES))
            )
            for token in c.execute(query).scalars().all():
                set_attempt(c, token, state="ended", cause=Cause.FINISHED_ELSEWHERE)

        self._database.write(work)


def _attribute(c: sa.Connection, trial_id: int, key: str) -> Any:
    """A system attribute of a trial; None where it has none."""
    table = trial_system_attributes
    query = sa.select(table.c.value_json).where(table.c.trial_id == trial_id, table.c.key == key)
    text = c.execute(query).scalar()
    return None if text is None else json.loads(text)


def _param_rows(trial_id: int, suggested: Suggested) -> list[dict[str, Any]]:
    return [param_row(trial_id, name, *param) for name, param in suggested.items()]
