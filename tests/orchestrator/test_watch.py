"""Agents on several hosts: who is dead, who only could not reach the database, and who is the last."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from orchestrator.host import HostProcess, this_process
from orchestrator.launching import run as run_module
from orchestrator.run_handle import RunHandle
from orchestrator.sql.schema import agents
from orchestrator.watch import LONGEST_GAP_S, Watch

BEAT_S = 5.0
ELSEWHERE = HostProcess("another-host", "its-boot", 1, 0.0)


class Clock:
    """A monotonic clock that goes when it is told to."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Cluster:
    """A run with agent A on this host and agent B, whose worker holds a trial, on another one."""

    def __init__(self, ledger) -> None:
        self.ledger = ledger
        self.clock = Clock()
        self.a, self.b = self.agent("a", this_process()), self.agent("b", ELSEWHERE)
        self.a.runs.end_agent("agent", {"slots": []})  # the ledger's own
        self.token, self.trial_id = self.claim_of_b()
        self._ages_s = itertools.count(BEAT_S, BEAT_S)

    def agent(self, name: str, process: HostProcess) -> RunHandle:
        ledger = self.ledger
        watch = Watch(self.clock)
        run = RunHandle(ledger.database, "", "ledger", ledger.study_id, "run", name, 1, True, watch)
        run.runs.register_agent(name, "run", 0, process)
        return run

    def claim_of_b(self) -> tuple[str, int | None]:
        seat = replace(self.ledger.seat(), agent_id="b")
        claim = self.ledger.claims.claim(seat)
        return claim.token, claim.trial_id

    def b_beats(self) -> None:
        self.b.runs.beat("b")
        self.move_heartbeat("b", next(self._ages_s))  # beats of a test may be within a millisecond

    def move_heartbeat(self, name: str, by_s: float) -> None:
        moved = {"heartbeat_s": agents.c.heartbeat_s + by_s}
        self.ledger.database.write(
            lambda c: c.execute(sa.update(agents).where(agents.c.agent_id == name).values(moved))
        )

    def a_looks(self, for_s: float, does_b_beat: bool = False) -> None:
        """Look around every five seconds, the first time at once."""
        until_s = self.clock.now_s + for_s
        while self.clock.now_s < until_s:
            if does_b_beat:
                self.b_beats()
            self.a.free_the_dead(3)
            self.clock.now_s += BEAT_S

    def counts(self) -> dict[str, int]:
        return self.a.attempts.counts("run")

    def is_ended(self, name: str) -> bool:
        return next(agent.ended for agent in self.a.runs.agents_of("run") if agent.agent_id == name)


@pytest.fixture
def cluster(make_ledger) -> Cluster:
    return Cluster(make_ledger(9))


def test_after_an_outage_nobody_takes_the_others_for_dead(cluster):
    for name in "ab":
        cluster.move_heartbeat(name, -100.0)
    cluster.a_looks(BEAT_S)
    assert cluster.counts() == {"running": 1}
    cluster.a_looks(300.0, does_b_beat=True)
    assert cluster.counts() == {"running": 1}
    assert not cluster.is_ended("b")


def test_an_agent_that_is_silent_for_a_minute_loses_its_trial_once(cluster):
    cluster.a_looks(60.0)
    assert cluster.counts() == {"running": 1}
    cluster.a_looks(BEAT_S)
    assert cluster.counts() == {"returned": 1}
    assert cluster.is_ended("b")
    other = cluster.agent("c", this_process())
    cluster.a_looks(120.0)
    other.free_the_dead(3)
    assert cluster.counts() == {"returned": 1}


def test_looks_with_a_gap_begin_anew(cluster):
    cluster.a_looks(55.0)
    cluster.clock.now_s += LONGEST_GAP_S
    cluster.a_looks(60.0)
    assert cluster.counts() == {"running": 1}
    cluster.a.watch.interrupted()
    cluster.a_looks(60.0)
    assert cluster.counts() == {"running": 1}
    cluster.a_looks(BEAT_S)
    assert cluster.counts() == {"returned": 1}


def test_an_agent_that_was_taken_for_dead_comes_back_and_keeps_what_it_takes_then(cluster):
    cluster.a_looks(65.0)
    assert cluster.is_ended("b")
    cluster.b_beats()
    assert not cluster.is_ended("b")
    assert cluster.claim_of_b()[1] == cluster.trial_id
    cluster.a_looks(300.0, does_b_beat=True)
    assert cluster.counts() == {"lost": 1, "running": 1}


def test_a_claim_is_a_sign_of_life(cluster):
    cluster.a_looks(45.0)
    cluster.claim_of_b()
    cluster.a_looks(60.0)
    assert cluster.counts() == {"running": 2}
    cluster.a_looks(BEAT_S)
    assert cluster.counts() == {"returned": 2}


def test_a_goodbye_is_not_taken_back(cluster):
    cluster.b.runs.end_agent("b", {"slots": []})
    cluster.b_beats()
    assert cluster.is_ended("b")
    cluster.a_looks(BEAT_S)  # what it left is given back at once
    assert cluster.counts() == {"returned": 1}


def test_a_beat_between_look_and_verdict_saves_an_agent(cluster):
    seen = next(agent for agent in cluster.a.runs.agents_of("run") if agent.agent_id == "b")
    cluster.move_heartbeat("b", BEAT_S)
    assert not cluster.a.runs.declare_dead(seen)
    assert not cluster.is_ended("b")


def test_an_agent_that_starts_knows_nothing_of_others_until_they_move_or_a_minute_is_over(cluster):
    assert cluster.a.others_alive() is None
    cluster.clock.now_s += BEAT_S
    cluster.b_beats()
    assert cluster.a.others_alive() is True
    for _ in range(12):
        cluster.clock.now_s += BEAT_S
        known = cluster.a.others_alive()
    assert known is False
    cluster.b.runs.end_agent("b", {"slots": []})
    assert cluster.a.others_alive() is False


def last_one(cluster, monkeypatch, does_b_beat: bool, n_stops: int = 0) -> tuple[bool, float, list[str]]:
    """Whether A, which is done, is the last agent; after how long; what it said meanwhile."""
    said: list[str] = []

    def sleep(seconds: float) -> None:
        cluster.clock.now_s += seconds
        if does_b_beat:
            cluster.b_beats()

    monkeypatch.setattr(run_module, "time", SimpleNamespace(sleep=sleep))
    began_s = cluster.clock.now_s
    launch = SimpleNamespace(spec=SimpleNamespace(max_retries=3))
    view, stops = SimpleNamespace(note=said.append), SimpleNamespace(count=n_stops)
    is_last = run_module._is_last(launch, cluster.a, stops, view)
    return is_last, cluster.clock.now_s - began_s, said


def test_the_end_of_a_run_waits_a_minute_for_a_host_that_is_gone(cluster, monkeypatch):
    is_last, waited_s, said = last_one(cluster, monkeypatch, does_b_beat=False)
    assert is_last
    assert waited_s <= 75
    assert len(said) == 1
    assert cluster.counts() == {"returned": 1}


def test_the_end_of_a_run_leaves_the_rest_to_an_agent_that_lives(cluster, monkeypatch):
    is_last, waited_s, said = last_one(cluster, monkeypatch, does_b_beat=True)
    assert not is_last
    assert waited_s <= 2 * BEAT_S
    assert not said
    assert cluster.counts() == {"running": 1}


def test_stopping_at_once_waits_for_nobody(cluster, monkeypatch):
    assert last_one(cluster, monkeypatch, does_b_beat=False, n_stops=2) == (False, 0, [])
