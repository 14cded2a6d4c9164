"""The next trial of a run for one worker: a seat in; ticket, trial and attempt out, in one transaction.

A ticket is taken with the trial and stays with it: of a run with ``n_trials`` = N at most N tickets exist.
Claims lock the study's row first, as Optuna does when it creates a trial, so they are serial per study, on
any number of nodes.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState

from orchestrator.causes import Cause
from orchestrator.sql.database import Database
from orchestrator.sql.schema import attempts, database_now, runs, trials
from orchestrator.storage.attempts import (
    FINISHED_STATES,
    Seat,
)
from orchestrator.storage.rows import (
    last_number,
    lock_study,
    now,
    set_attempt,
    start_trial,
)

_FEW = 3  # enqueued trials that a claim looks at


@dataclass(frozen=True, slots=True)
class Claim:
    """An attempt of ours at a trial. ``start`` is None for a trial that somebody has made before."""

    token: str
    trial_id: int
    number: int
    start: datetime | None = None


@dataclass(slots=True)
class _Look:
    """What a claim finds: the trial of its own token, trials that wait, the last number of the study."""

    known: sa.Row[Any] | None
    returned: list[sa.Row[Any]]
    enqueued: list[sa.Row[Any]]
    last: int


class Claims:
    """Takes trials of one study for the workers of its runs."""

    def __init__(self, database: Database, study_id: int) -> None:
        self._database = database
        self._study_id = study_id
        self._none_waits_up_to = -1  # trial id: older trials wait no more, but for those that runs released

    def claim(self, seat: Seat, token: str | None = None) -> Claim | None:
        """Take a ticket and its trial: one given back first, then one enqueued, then a new one.

        None when no ticket is left. Called again with the same ``token`` (the answer was lost) it returns the
        same trial.
        """
        token = token or uuid.uuid4().hex
        claim, look = self._database.write(lambda c: self._claim(c, seat, token))
        if look.enqueued:
            self._none_waits_up_to = look.enqueued[0].trial_id - 1
        elif claim is not None and claim.start is not None:  # only now is it committed
            self._none_waits_up_to = claim.trial_id
        return claim

    def _claim(self, c: sa.Connection, seat: Seat, token: str) -> tuple[Claim | None, _Look]:
        if not lock_study(c, self._study_id):  # somebody has deleted it
            return None, _Look(None, [], [], -1)
        look = self._look(c, seat.run_id, token)
        return self._take(c, look, seat, token), look

    def _take(self, c: sa.Connection, look: _Look, seat: Seat, token: str) -> Claim | None:
        if look.known is not None:
            return Claim(token, look.known.trial_id, look.known.number)
        claim = self._take_returned(c, look, token)
        if claim is None and self._take_ticket(c, seat.run_id):
            claim = self._take_enqueued(c, look, token) or self._append(c, look, token)
        if claim is not None:
            self._begin_attempt(c, seat, claim)
        return claim

    def _look(self, c: sa.Connection, run_id: str, token: str) -> _Look:
        """One statement for all that a claim must know."""
        known = {
            "study_id": self._study_id,
            "run_id": run_id,
            "token": token,
            "none_up_to": self._none_waits_up_to,
        }
        found: dict[str, list[sa.Row[Any]]] = {"known": [], "returned": [], "enqueued": [], "last": []}
        for row in c.execute(_LOOK, known):
            found[row.kind].append(row)
        mine, (last,) = found["known"], found["last"]
        return _Look(
            known=mine[0] if mine else None,
            returned=sorted(found["returned"], key=lambda row: row.number),
            enqueued=sorted(found["enqueued"], key=lambda row: row.trial_id),
            last=-1 if last.number is None else last.number,
        )

    def _take_returned(self, c: sa.Connection, look: _Look, token: str) -> Claim | None:
        for row in look.returned:
            if row.is_finished:  # by somebody else: it counts
                set_attempt(c, row.token, state="ended", cause=Cause.FINISHED_ELSEWHERE)
                continue
            expected = TrialState.RUNNING if row.state == "returned" else TrialState.WAITING
            if start_trial(c, row.trial_id, expected):
                set_attempt(c, row.token, state="lost")
                return Claim(token, row.trial_id, row.number)
        return None

    def _take_ticket(self, c: sa.Connection, run_id: str) -> bool:
        left = sa.or_(runs.c.n_trials.is_(None), runs.c.claimed < runs.c.n_trials)
        statement = (
            sa.update(runs)
            .where(runs.c.run_id == run_id, runs.c.state == "running", left)
            .values(claimed=runs.c.claimed + 1)
        )
        return c.execute(statement).rowcount == 1

    def _take_enqueued(self, c: sa.Connection, look: _Look, token: str) -> Claim | None:
        """The first trial that somebody enqueued and that nobody (plain Optuna may) takes meanwhile."""
        for row in look.enqueued:
            if start_trial(c, row.trial_id, TrialState.WAITING):
                return Claim(token, row.trial_id, row.number)
        return None

    def _append(self, c: sa.Connection, look: _Look, token: str) -> Claim:
        number, start = look.last + 1, now()
        row = {
            "study_id": self._study_id,
            "number": number,
            "state": TrialState.RUNNING,
            "datetime_start": start,
        }
        key = c.execute(sa.insert(trials).values(row)).inserted_primary_key
        assert key is not None
        return Claim(token, int(key[0]), number, start)

    def _begin_attempt(self, c: sa.Connection, seat: Seat, claim: Claim) -> None:
        row = {
            "token": claim.token,
            "trial_id": claim.trial_id,
            "run_id": seat.run_id,
            "agent_id": seat.agent_id,
            "slot": seat.slot,
            "cpus": seat.cpus,
            "cpu_model": seat.cpu_model,
            "slot_width": seat.slot_width,
            "pid": seat.pid,
            "state": "running",
            "start_s": database_now(),
            "attempt": 1 if claim.start is not None else self._earlier(c, claim.trial_id) + 1,
        }
        c.execute(sa.insert(attempts).values(row))

    def _earlier(self, c: sa.Connection, trial_id: int) -> int:
        """How often the trial was tried before."""
        query = sa.select(sa.func.count()).select_from(attempts).where(attempts.c.trial_id == trial_id)
        return int(c.execute(query).scalar_one())


def _look() -> sa.CompoundSelect[Any]:
    """The trial of a token; those that the run has back; those enqueued since; the last number."""
    is_finished = sa.case((trials.c.state.in_(FINISHED_STATES), 1), else_=0)
    ours = (trials.c.trial_id, trials.c.number, attempts.c.token, attempts.c.state, is_finished)
    not_ours = (sa.null(), sa.null(), sa.literal(0))
    with_attempt = trials.join(attempts, attempts.c.trial_id == trials.c.trial_id)
    study_id = sa.bindparam("study_id", type_=sa.Integer)
    waits = sa.and_(trials.c.study_id == study_id, trials.c.state == TrialState.WAITING)
    newer = trials.c.trial_id > sa.bindparam("none_up_to")
    enqueued = _kind("enqueued", trials.c.trial_id, trials.c.number, *not_ours).where(waits, newer)
    enqueued = enqueued.order_by(trials.c.trial_id).limit(_FEW)
    return sa.union_all(
        _kind("known", *ours).select_from(with_attempt).where(attempts.c.token == sa.bindparam("token")),
        _kind("returned", *ours)
        .select_from(with_attempt)
        .where(attempts.c.run_id == sa.bindparam("run_id"), attempts.c.state.in_(("returned", "waiting"))),
        sa.select(enqueued.subquery()),
        _kind("last", sa.null(), last_number(study_id).scalar_subquery(), *not_ours),
    )


def _kind(kind: str, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """One part of a claim's look, its columns under the names that all parts share."""
    names = ("trial_id", "number", "token", "state", "is_finished")
    labelled = (column.label(name) for column, name in zip(columns, names, strict=True))
    return sa.select(sa.literal(kind, sa.String).label("kind"), *labelled)


_LOOK = _look()
