"""A run that this process has joined: its database, its tables and what an agent asks of them."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field

from optuna.study import StudyDirection

from orchestrator.causes import Cause
from orchestrator.errors import RunFailed
from orchestrator.snapshot import Best, in_words
from orchestrator.sql.database import Database
from orchestrator.storage.attempts import AttemptTable, Loss
from orchestrator.storage.runs import RUNNING, UNENDED, RunTable, StoredAgent, StoredRun
from orchestrator.storage.study_storage import StudyStorage
from orchestrator.watch import Watch


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
    watch: Watch = field(default_factory=Watch, compare=False)  # over the agents of other hosts

    @property
    def runs(self) -> RunTable:
        """Runs and agents."""
        return RunTable(self.database)

    @property
    def attempts(self) -> AttemptTable:
        """Tickets and attempts of the study."""
        return AttemptTable(self.database, self.study_id)

    def unclaimed(self) -> float:
        """Tickets left: none once the run has ended; infinite for a run that only time ends.

        Raises ``RunFailed`` when somebody has deleted the study.
        """
        stored = self.stored()
        if stored.record.state != RUNNING:
            return 0
        n_trials = stored.record.n_trials
        return math.inf if n_trials is None else n_trials - stored.record.claimed

    def asked_to_stop(self) -> str | None:
        """Why the run is to end, if somebody has asked for it."""
        return self.runs.asked_to_stop(self.run_id)

    def stored(self) -> StoredRun:
        """The run as it is in the database; ``RunFailed`` when somebody has deleted it with its study."""
        self.current_name()
        stored = self.runs.find(self.run_id)
        if stored is None:
            raise self._deleted()
        return stored

    def current_name(self) -> str:
        """The name of the study, which others may have renamed, or deleted (``RunFailed``)."""
        try:
            return StudyStorage(self.database).get_study_name_from_id(self.study_id)
        except KeyError:
            raise self._deleted() from None

    def _deleted(self) -> RunFailed:
        return RunFailed(f"Study '{self.study_name}' was deleted while the run was at work on it.")

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
        return Best(trial.number, trial.value, in_words(trial.params)), minimize

    def others_alive(self) -> bool | None:
        """Whether another agent of the run takes part; None while that is not known.

        One of another host is known to live when it was seen to move a moment ago, and to be dead when it
        stood still for a minute (:class:`Watch`): ask again until then.
        """
        others, _ = self._look()
        found = [self._takes_part(agent) for agent in others]
        return True if True in found else None if None in found else False

    def free_the_dead(self, max_retries: int) -> None:
        """Give back the trials of agents that are gone; of several callers, one gives each back.

        An agent that said goodbye may have left trials too, when the database was away just before. One that
        is taken for dead and is not comes back by its next beat; its lost trials are with others by then.
        """
        others, held = self._look()
        for agent in others:
            if agent.ended and agent.agent_id not in held:
                continue
            if self._is_gone(agent) and self.runs.declare_dead(agent):
                loss = _loss_of(agent)
                for token, trial_id in held.get(agent.agent_id, ()):
                    self.attempts.give_back(token, trial_id, loss, max_retries)

    def free_strangers(self) -> None:
        """Let trials wait for anybody that agents of other runs on the study hold, who have died here.

        Their runs may be gone on with or not; what has become of agents of other hosts is not known.
        """
        for other in self.runs.of_study(self.study_id):
            run_id = other.record.run_id
            if run_id == self.run_id or other.record.state not in UNENDED:
                continue
            dead = {a.agent_id: a for a in self.runs.agents_of(run_id) if _died_here(a)}
            for agent_id, token, trial_id in self.attempts.open_attempts(run_id):
                if agent_id in dead:
                    self.attempts.release(token, trial_id, _loss_of(dead[agent_id]))

    def _look(self) -> tuple[list[StoredAgent], dict[str, list[tuple[str, int]]]]:
        """The other agents of the run, and the open attempts (token, trial) of each."""
        held: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for agent_id, token, trial_id in self.attempts.open_attempts(self.run_id):
            held[agent_id].append((token, trial_id))
        others = [agent for agent in self.runs.agents_of(self.run_id) if agent.agent_id != self.agent_id]
        # A claim of its workers is a sign of life as well: they die with their agent.
        self.watch.look({a.agent_id: (a.heartbeat_s, frozenset(held.get(a.agent_id, ()))) for a in others})
        return others, held

    def _takes_part(self, agent: StoredAgent) -> bool | None:
        if agent.ended or agent.process.rebooted_away():
            return False
        if agent.process.is_here():
            return agent.process.is_alive()
        if self.watch.is_silent(agent.agent_id):
            return False
        return True if self.watch.is_moving(agent.agent_id) else None

    def _is_gone(self, agent: StoredAgent) -> bool:
        """Whether nothing is to be expected of it; others may have ended one that lives."""
        if agent.said_goodbye or agent.process.rebooted_away():
            return True
        if agent.process.is_here():
            return not agent.process.is_alive()
        return self.watch.is_silent(agent.agent_id)


def _died_here(agent: StoredAgent) -> bool:
    process = agent.process
    return process.rebooted_away() or (process.is_here() and not process.is_alive())


def _loss_of(agent: StoredAgent) -> Loss:
    """Why the trials of an agent that is gone were lost."""
    process = agent.process
    if process.rebooted_away():
        return Loss(Cause.NODE_LOST, f"{process.host} was started anew")
    if agent.said_goodbye:
        return Loss(Cause.DATABASE_LOST, f"the agent on {process.host} could not say so")
    if process.is_here():
        return Loss(Cause.AGENT_LOST, f"process {process.pid} on {process.host} has gone")
    return Loss(Cause.NODE_LOST, f"{process.host} has said nothing for a minute")
