"""What an agent's run still has to do: its tickets and trials given back in; whether to go on out."""

from __future__ import annotations

import time

from orchestrator.run_handle import RunHandle

LOOK_S = 1.0  # between two looks whether the others are done


class WorkLeft:
    """Of one run, as one of its agents knows it: the database is asked no more often than it must."""

    def __init__(self, run: RunHandle) -> None:
        self._run = run
        self._no_ticket_left = False
        self._look_at_s = 0.0
        self.n_finished = 0  # trials of the run, at the last look whether it is done

    def found_no_ticket(self) -> None:
        """A worker has asked for a trial, and there was none."""
        self._no_ticket_left = True

    def may_be_found(self) -> bool:
        """Whether a new worker would find a trial: a ticket, or (asked once a second) one given back."""
        if not self._no_ticket_left:
            return True
        if time.monotonic() < self._look_at_s:
            return False
        self._look_at_s = time.monotonic() + LOOK_S
        return self._run.attempts.has_given_back(self._run.run_id)

    def is_done(self) -> bool:
        """Whether no worker of any agent is at a trial of the run, or could begin one."""
        run = self._run
        counts = run.attempts.counts(run.run_id)
        self.n_finished = counts.get("ended", 0)
        if run.unclaimed() > 0 or run.attempts.has_given_back(run.run_id):
            self._no_ticket_left = False
            return False
        return not counts.get("running", 0)  # with other agents

    def n_with_strangers(self) -> int:
        """How many trials that we released once are with a program that is not ours: nobody supervises it."""
        run = self._run
        run.attempts.settle(run.run_id)
        return run.attempts.counts(run.run_id).get("waiting", 0)
