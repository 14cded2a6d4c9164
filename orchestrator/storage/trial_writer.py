"""What a worker writes to the trial that it holds, up to its end; each call one transaction.

All is checked against the attempt's state by the statement that writes: once the attempt was declared lost,
or the trial is finished, nothing is written any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from orchestrator.causes import described
from orchestrator.sql.database import Database, knowing_itself
from orchestrator.sql.schema import attempts, database_now, trials
from orchestrator.sql.upsert import Row, upsert
from orchestrator.storage.attempts import CAUSE, Result, StaleAttempt
from orchestrator.storage.claims import Claim
from orchestrator.storage.rows import set_attribute, write_values, write_while_running


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows for one table of a trial's content; ``keep``: what is there already stays as it is."""

    table: sa.Table
    rows: Sequence[Row]
    key: tuple[str, ...]
    keep: bool = False

    def write(self, c: sa.Connection, token: str) -> bool:
        """One statement; False when the attempt, or the trial, runs no more."""
        return write_while_running(c, token, self.table, self.rows, self.key, self.keep)

    def add(self, c: sa.Connection) -> None:
        """The same whatever runs."""
        upsert(c, self.table, self.rows, self.key, self.keep)


class TrialWriter:
    """The worker's side of a trial that it has claimed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, claim: Claim, batches: Sequence[Batch]) -> None:
        """Write content of the trial, one statement a batch, while the attempt is ours and the trial runs.

        Raises :class:`StaleAttempt`, or Optuna's ``UpdateFinishedTrialError``, and writes nothing otherwise.
        """
        self._database.write(lambda c: self._write(c, claim, batches))

    def _write(self, c: sa.Connection, claim: Claim, batches: Sequence[Batch]) -> None:
        for batch in batches:
            if not batch.write(c, claim.token):
                self._refuse(c, claim)

    def _refuse(self, c: sa.Connection, claim: Claim) -> None:
        state = c.execute(_attempt(claim.token)).scalar()
        if state == "running":  # then it is the trial that runs no more
            raise UpdateFinishedTrialError(
                f"Trial#{claim.number} has already finished and can not be updated."
            )
        raise StaleAttempt(f"the attempt is {state}")

    def finish(self, claim: Claim, result: Result, batches: Sequence[Batch] = ()) -> bool:
        """End attempt and trial together, with what is still to be written to it.

        False when somebody else had finished the trial: its result stays, and what that one could not know is
        added. Raises :class:`StaleAttempt` when the attempt is no longer ours. Repeated after a lost answer
        it sees its own work and returns.
        """

        def work(c: sa.Connection, again: bool) -> bool:
            if again and self._is_ended_so(c, claim.token, result):
                return True
            return self._finish(c, claim, result, batches)

        return self._database.write(knowing_itself(work))

    def _is_ended_so(self, c: sa.Connection, token: str, result: Result) -> bool:
        """Whether it was we who ended the attempt: nobody else writes these causes."""
        query = sa.select(attempts.c.state, attempts.c.cause).where(attempts.c.token == token)
        row = c.execute(query).one()
        return bool(row.state == "ended" and row.cause == result.cause)

    def _finish(self, c: sa.Connection, claim: Claim, result: Result, batches: Sequence[Batch]) -> bool:
        for batch in batches:
            batch.write(c, claim.token)
        if not self._end_attempt(c, claim.token, result):
            raise StaleAttempt(f"the attempt is {c.execute(_attempt(claim.token)).scalar()}")
        if self._end_trial(c, claim.trial_id, result):
            return True
        for batch in batches:
            if batch.keep:
                batch.add(c)
        return False

    def _end_attempt(self, c: sa.Connection, token: str, result: Result) -> bool:
        mine = sa.and_(attempts.c.token == token, attempts.c.state == "running")
        ended = {
            "state": "ended",
            "end_s": database_now(),
            "objective_s": result.objective_s,
            "cause": result.cause,
            "detail": result.error,
            "peak_rss_mib": result.peak_rss_mib,
            "cpu_s": result.cpu_s,
        }
        return c.execute(sa.update(attempts).where(mine).values(ended)).rowcount == 1

    def _end_trial(self, c: sa.Connection, trial_id: int, result: Result) -> bool:
        is_running = sa.and_(trials.c.trial_id == trial_id, trials.c.state == TrialState.RUNNING)
        ended = {"state": result.state, "datetime_complete": result.complete}
        if not c.execute(sa.update(trials).where(is_running).values(ended)).rowcount:
            return False  # somebody else has finished it
        if result.values is not None:
            write_values(c, trial_id, result.values)
        if result.error:
            set_attribute(c, trial_id, CAUSE, described(result.cause, result.error))
        return True


def _attempt(token: str) -> sa.Select[Any]:
    """The state of an attempt."""
    return sa.select(attempts.c.state).where(attempts.c.token == token)
