"""The exact budget: tickets, trials and attempts, each change one transaction.

An attempt is one try of one worker at one trial. Its life::

    running ──► ended        it finished the trial (COMPLETE, PRUNED, or FAIL by its own fault)
       │
       ├──► returned ──► lost     its worker died; the trial stays RUNNING until another worker takes it
       └──► waiting  ──► lost     the run stopped; the trial is WAITING until the run, or anyone, goes on

A ticket is taken with the trial and stays with it: of a run with ``n_trials`` = N at most N tickets exist,
and the run is done when N attempts are "ended". All transactions lock the study's row first, as Optuna does
when it creates a trial, so they are serial per study, on any number of nodes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState

from orchestrator.storage.database import Database
from orchestrator.storage.rows import (
    append_trial,
    keep_params,
    lock_study,
    now,
    set_attempt,
    set_attribute,
    set_trial,
    start_trial,
    write_values,
)
from orchestrator.storage.schema import (
    attempts,
    runs,
    trial_intermediate_values,
    trial_system_attributes,
    trials,
)

CAUSE = "nano:cause"  # the trial's system attribute that says why it ended
RUNG = "completed_rung_%"  # what the successive-halving pruners keep about an attempt
RELEASED, DATABASE_LOST = "released", "lost: the database was away"
UNCOUNTED = (RELEASED, DATABASE_LOST)  # losses that are no sign against the trial
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


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
    """How a worker's attempt was lost; ``params`` are relative parameters that were sampled already."""

    cause: str
    exit_status: int | None = None
    peak_rss_mib: float | None = None
    params: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """How an attempt finished its trial."""

    state: TrialState
    values: Sequence[float] | None
    cause: str
    objective_s: float | None = None
    peak_rss_mib: float | None = None


class StaleAttempt(Exception):
    """The attempt was declared lost meanwhile: its result is not taken."""


class AttemptTable:
    """Reads and writes ``nano_attempts`` with the trials it concerns."""

    def __init__(self, database: Database, study_id: int) -> None:
        self._database = database
        self._study_id = study_id
        self._none_waits_up_to = -1  # trial id: older trials wait no more, but for those that runs released
        self._made = -1  # the last trial that a claim has made, perhaps in a transaction that was undone

    def claim(self, seat: Seat, token: str) -> int | None:
        """Take a ticket and its trial: one given back first, then one enqueued, then a new one.

        Returns the trial's id, or None when no ticket is left. Called again with the same token (the
        answer was lost) it returns the same trial.
        """
        trial_id = self._database.write(lambda c: self._claim(c, seat, token))
        if trial_id is not None and trial_id == self._made:  # only now is it committed
            self._none_waits_up_to = trial_id
        return trial_id

    def _claim(self, c: sa.Connection, seat: Seat, token: str) -> int | None:
        lock_study(c, self._study_id)
        known = c.execute(sa.select(attempts.c.trial_id).where(attempts.c.token == token)).scalar()
        if known is not None:
            return int(known)
        trial_id = self._take_returned(c, seat.run_id)
        if trial_id is None and self._take_ticket(c, seat.run_id):
            trial_id = self._take_enqueued(c)
            if trial_id is None:
                times = (now(), None)
                trial_id = self._made = append_trial(c, self._study_id, TrialState.RUNNING, times)
        if trial_id is not None:
            self._begin_attempt(c, seat, token, trial_id)
        return trial_id

    def _take_returned(self, c: sa.Connection, run_id: str) -> int | None:
        query = (
            sa.select(attempts.c.token, attempts.c.trial_id, attempts.c.state, trials.c.state.label("trial"))
            .join(trials, trials.c.trial_id == attempts.c.trial_id)
            .where(attempts.c.run_id == run_id, attempts.c.state.in_(("returned", "waiting")))
            .order_by(trials.c.number)
        )
        for row in c.execute(query).all():
            if row.trial in _FINISHED:  # by somebody else: it counts
                set_attempt(c, row.token, state="ended", cause="finished elsewhere")
                continue
            expected = TrialState.RUNNING if row.state == "returned" else TrialState.WAITING
            if start_trial(c, row.trial_id, expected):
                set_attempt(c, row.token, state="lost")
                return int(row.trial_id)
        return None

    def _take_ticket(self, c: sa.Connection, run_id: str) -> bool:
        left = sa.or_(runs.c.n_trials.is_(None), runs.c.claimed < runs.c.n_trials)
        statement = (
            sa.update(runs)
            .where(runs.c.run_id == run_id, runs.c.state == "running", left)
            .values(claimed=runs.c.claimed + 1)
        )
        return c.execute(statement).rowcount == 1

    def _take_enqueued(self, c: sa.Connection) -> int | None:
        """A trial that somebody enqueued; only those are looked at that are newer than the last new one."""
        waiting = sa.and_(
            trials.c.study_id == self._study_id,
            trials.c.trial_id > self._none_waits_up_to,
            trials.c.state == TrialState.WAITING,
        )
        query = sa.select(trials.c.trial_id).where(waiting).order_by(trials.c.number)
        for trial_id in c.execute(query).scalars().all():
            if start_trial(c, trial_id, TrialState.WAITING):
                return int(trial_id)
        return None

    def _begin_attempt(self, c: sa.Connection, seat: Seat, token: str, trial_id: int) -> None:
        row = {
            "token": token,
            "trial_id": trial_id,
            "run_id": seat.run_id,
            "agent_id": seat.agent_id,
            "slot": seat.slot,
            "cpus": seat.cpus,
            "cpu_model": seat.cpu_model,
            "slot_width": seat.slot_width,
            "pid": seat.pid,
            "state": "running",
            "start_s": time.time(),
        }
        c.execute(sa.insert(attempts).values(row))

    def finish(self, token: str, trial_id: int, result: Result) -> None:
        """End attempt and trial together.

        Raises :class:`StaleAttempt` when the attempt is no longer ours. Called again after a lost answer it
        sees its own work and returns.
        """
        self._database.write(lambda c: self._finish(c, token, trial_id, result))

    def _finish(self, c: sa.Connection, token: str, trial_id: int, result: Result) -> None:
        lock_study(c, self._study_id)
        state = c.execute(sa.select(attempts.c.state).where(attempts.c.token == token)).scalar()
        if state == "ended":
            return
        if state != "running":
            raise StaleAttempt(f"the attempt is {state}")
        self._end_attempt(c, token, result)
        self._end_trial(c, trial_id, result)

    def _end_attempt(self, c: sa.Connection, token: str, result: Result) -> None:
        set_attempt(
            c,
            token,
            state="ended",
            end_s=time.time(),
            objective_s=result.objective_s,
            cause=result.cause,
            peak_rss_mib=result.peak_rss_mib,
        )

    def _end_trial(self, c: sa.Connection, trial_id: int, result: Result) -> None:
        changed = c.execute(
            sa.update(trials)
            .where(trials.c.trial_id == trial_id, trials.c.state == TrialState.RUNNING)
            .values(state=result.state, datetime_complete=now())
        )
        if changed.rowcount and result.values is not None:  # else somebody else has finished it
            write_values(c, trial_id, result.values)

    def open_attempt(self, agent_id: str, slot: int) -> tuple[str, int] | None:
        """Token and trial id of the attempt that the dead worker of a slot left behind."""
        query = sa.select(attempts.c.token, attempts.c.trial_id).where(
            attempts.c.agent_id == agent_id, attempts.c.slot == slot, attempts.c.state == "running"
        )
        row = self._database.read(lambda c: c.execute(query).first())
        return (row.token, int(row.trial_id)) if row is not None else None

    def open_attempts(self, run_id: str) -> list[tuple[str, str, int]]:
        """Agent, token and trial id of every attempt of a run that nobody has ended."""
        query = sa.select(attempts.c.agent_id, attempts.c.token, attempts.c.trial_id).where(
            attempts.c.run_id == run_id, attempts.c.state == "running"
        )
        rows = self._database.read(lambda c: c.execute(query).all())
        return [(row.agent_id, row.token, int(row.trial_id)) for row in rows]

    def give_back(self, token: str, trial_id: int, loss: Loss, max_retries: int) -> str:
        """The worker died: the trial goes to the next free worker with its number and parameters.

        After ``max_retries`` retries it is failed for good instead. Returns "returned", "failed", or
        "gone" when the attempt had ended already.
        """
        return self._database.write(lambda c: self._give_back(c, token, trial_id, loss, max_retries))

    def _give_back(self, c: sa.Connection, token: str, trial_id: int, loss: Loss, max_retries: int) -> str:
        if not self._lose(c, token, trial_id, loss, "returned"):
            return "gone"
        tried = sa.and_(attempts.c.trial_id == trial_id, attempts.c.cause.not_in(UNCOUNTED))
        losses = c.execute(sa.select(sa.func.count()).select_from(attempts).where(tried)).scalar_one()
        if losses <= max_retries:
            return "returned"
        set_attempt(c, token, state="ended")
        set_trial(c, trial_id, state=TrialState.FAIL, datetime_complete=now())
        set_attribute(c, trial_id, CAUSE, f"lost with its worker {losses} times, last: {loss.cause}")
        return "failed"

    def release(self, token: str, trial_id: int, loss: Loss) -> None:
        """The run stops with the trial unfinished: it becomes WAITING, with its number and parameters."""
        self._database.write(lambda c: self._release(c, token, trial_id, loss))

    def _release(self, c: sa.Connection, token: str, trial_id: int, loss: Loss) -> None:
        if self._lose(c, token, trial_id, loss, "waiting"):
            set_trial(c, trial_id, state=TrialState.WAITING)

    def _lose(self, c: sa.Connection, token: str, trial_id: int, loss: Loss, state: str) -> bool:
        """End the attempt and clear what would disturb the next; False when it had ended already."""
        lock_study(c, self._study_id)
        mine = sa.and_(attempts.c.token == token, attempts.c.state == "running")
        ended = {"state": state, "end_s": time.time(), "cause": loss.cause}
        known = {"exit_status": loss.exit_status, "peak_rss_mib": loss.peak_rss_mib}
        if c.execute(sa.update(attempts).where(mine).values(**ended, **known)).rowcount != 1:
            return False
        if c.execute(sa.select(trials.c.state).where(trials.c.trial_id == trial_id)).scalar() in _FINISHED:
            set_attempt(c, token, state="ended", cause="finished elsewhere")
            return False
        # Optuna's report() ignores a step that is there already, and rungs would prune the next attempt.
        c.execute(
            sa.delete(trial_intermediate_values).where(trial_intermediate_values.c.trial_id == trial_id)
        )
        rungs = trial_system_attributes.c.key.like(RUNG)
        c.execute(
            sa.delete(trial_system_attributes).where(trial_system_attributes.c.trial_id == trial_id, rungs)
        )
        if loss.params:
            keep_params(c, trial_id, loss.params)
        return True

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
                .where(trials.c.state.in_(_FINISHED))
            )
            for token in c.execute(query).scalars().all():
                set_attempt(c, token, state="ended", cause="finished elsewhere")

        self._database.write(work)
