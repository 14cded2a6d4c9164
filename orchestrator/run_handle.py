"""A run that this process has joined: its database, its tables and what an agent asks of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from optuna.study import StudyDirection

from orchestrator.sql.database import Database
from orchestrator.storage.attempts import AttemptTable, Loss
from orchestrator.storage.runs import RUNNING, RunTable, StoredAgent
from orchestrator.storage.study_storage import StudyStorage
from orchestrator.tally import Best


@dataclass(frozen=True, slots=True)
class RunHandle:
    """One run, one agent of it. ``storage_url`` holds the password: it leaves this process by pipe only."""

    database: Database
    storage_url: str
    study_name: str
    study_id: int
    run_id: str
    agent_id: str
    seed: int
    joined: bool  # other launches have worked, or work, on the run

    @property
    def runs(self) -> RunTable:
        """Runs and agents."""
        return RunTable(self.database)

    @property
    def attempts(self) -> AttemptTable:
        """Tickets and attempts of the study."""
        return AttemptTable(self.database, self.study_id)

    def unclaimed(self) -> float:
        """Tickets left: none once the run has ended; infinite for a run that only time ends."""
        stored = self.runs.find(self.run_id)
        assert stored is not None
        if stored.record.state != RUNNING:
            return 0
        n_trials = stored.record.n_trials
        return math.inf if n_trials is None else n_trials - stored.record.claimed

    def best(self) -> tuple[Best | None, bool]:
        """The study's best so far, and whether less is better; no best for several objectives."""
        storage = StudyStorage(self.database)
        directions = storage.get_study_directions(self.study_id)
        minimize = directions[0] is StudyDirection.MINIMIZE
        if len(directions) > 1:
            return None, minimize
        try:
            trial = storage.get_best_trial(self.study_id)
        except ValueError:  # none is complete
            return None, minimize
        assert trial.value is not None
        return Best(trial.number, trial.value), minimize

    def others_alive(self) -> list[StoredAgent]:
        """The other agents of the run that take part now."""
        return [a for a in self.runs.agents_of(self.run_id) if a.agent_id != self.agent_id and is_live(a)]

    def free_the_dead(self, max_retries: int) -> None:
        """Give back the trials of agents that are gone; of several callers, one gives each back.

        An agent that said goodbye may have left trials too, when the database was away just before.
        """
        gone = {
            agent.agent_id: agent
            for agent in self.runs.agents_of(self.run_id)
            if agent.agent_id != self.agent_id and not is_live(agent)
        }
        for agent_id, token, trial_id in self.attempts.open_attempts(self.run_id):
            if agent_id in gone:
                loss = Loss(f"lost: its agent on {gone[agent_id].process.host} died")
                self.attempts.give_back(token, trial_id, loss, max_retries)
        for agent in gone.values():
            if not agent.ended:
                self.runs.end_agent(agent.agent_id)


def is_live(agent: StoredAgent) -> bool:
    """Whether an agent takes part: on this machine by its process, elsewhere by its heartbeat."""
    if agent.ended or agent.process.rebooted_away():
        return False
    return agent.process.is_alive() if agent.process.is_here() else not agent.stale
