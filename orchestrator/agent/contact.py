"""An agent's contact with the database of its run: looks and small deeds that can wait, never waited for.

Running trials go on while the database is away; their agent then says so once, and its loop does not stop.
One that was lent by another rank does not come back when that rank is lost: then there is an end to it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial

from sqlalchemy.exc import DBAPIError

from orchestrator.agent.account import Account
from orchestrator.agent.running_trial import RunningTrial
from orchestrator.agent.slot_worker import SlotWorker
from orchestrator.agent.stopping import Stopping
from orchestrator.agent.tally import Tally
from orchestrator.progress import View
from orchestrator.run_handle import RunHandle
from orchestrator.sql.failures import is_passing, said

_BEAT_S = 5.0
_HANG_S = 2.0  # later than its beat: then the database has hung
_HOLD_S = 1.0  # how long a worker may hold parameters back


class Contact:
    """Beats, looks at what other agents do, and keeps what workers hold back. Nothing here waits for long."""

    def __init__(
        self,
        run: RunHandle,
        workers: Sequence[SlotWorker],
        account: Account,
        tally: Tally,
        view: View,
        max_retries: int,
        stopping: Stopping,
        patience_s: float,
    ) -> None:
        """The database has just answered. When it was away for ``patience_s``, that is raised."""
        self._run = run
        self._workers = workers
        self._account = account
        self._tally = tally
        self._view = view
        self._max_retries = max_retries
        self._patience_s = patience_s
        self._stopping = stopping
        self._away_since_s = math.inf  # while it answers
        self._answered_s = time.monotonic()  # when the database did last, but for trials of workers
        self._beat_at_s = self._answered_s + _BEAT_S

    def beat(self) -> None:
        """Every few seconds: note what the workers take, and look around."""
        if time.monotonic() < self._beat_at_s:
            return
        for worker in self._workers:
            worker.sample_memory()
        self.look_around()
        self._beat_at_s = time.monotonic() + _BEAT_S  # now: a database that is away has taken a while

    def look_around(self) -> bool:
        """Say that we live, and what our workers got; see what other agents have done, and whose trials are
        to be given back.

        False: the database is away.
        """
        return self.hastily(self._look_around)

    def _look_around(self, run: RunHandle) -> None:
        run.runs.beat(run.agent_id, self._stopping.time_left_s, self._account.news())
        self._account.was_told()
        run.free_the_dead(self._max_retries)
        finished = run.attempts.counts(run.run_id).get("ended", 0)
        if finished > self._tally.finished:  # other agents have been at work, and may have found better
            self._tally.saw_best(run.best()[0])
        self._tally.finished = finished
        self._stopping.heed(run.asked_to_stop())

    def keep_params(self) -> None:
        """Store parameters that workers have held back for a second, so that other workers see them."""
        for worker in self._workers:
            trial = worker.trial
            if trial is None or time.monotonic() < trial.suggested_s + _HOLD_S or self._is_away:
                continue
            if self.hastily(partial(_store_suggested, trial)):
                trial.are_stored(list(trial.suggested))

    def hastily(self, action: Callable[[RunHandle], None]) -> bool:
        """Do what can be done later as well, unless the database is away: the loop must not wait for it.

        False: it is away.
        """
        try:
            with self._run.database.hasty():
                action(self._run)
        except DBAPIError as error:
            if not is_passing(error):
                raise
            self._run.watch.interrupted()
            self._note_absence(error)
            if time.monotonic() - self._away_since_s >= self._patience_s:
                raise
            return False
        self._away_since_s = math.inf
        self._excuse_waiting()
        return True

    def _excuse_waiting(self) -> None:
        """The database answers: what it took since it did last, if that is long, is no trial's own time."""
        now_s = time.monotonic()
        silent_s = now_s - self._answered_s
        if silent_s > _BEAT_S + _HANG_S:
            for worker in self._workers:
                if worker.trial is not None:
                    worker.trial.waited_s += min(silent_s, now_s - worker.trial.since_s)
        self._answered_s = now_s

    @property
    def _is_away(self) -> bool:
        return self._away_since_s < math.inf

    def _note_absence(self, error: DBAPIError) -> None:
        if not self._is_away:
            self._away_since_s = time.monotonic()
            self._view.note(f"The database does not answer ({said(error)}); running trials go on.")


def _store_suggested(trial: RunningTrial, run: RunHandle) -> None:
    run.attempts.keep_suggested(trial.token, trial.trial_id, trial.suggested)
