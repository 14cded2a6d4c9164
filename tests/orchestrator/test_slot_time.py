"""Where the time of a slot goes is counted once, and told by its agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from affinity import Binding, Slot
from orchestrator.agent.slot_time import SlotTime
from orchestrator.agent.slot_worker import SlotWorker
from orchestrator.channel import Message


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def pass_(self, seconds: float) -> None:
        self.now_s += seconds


def slot_worker(clock: Clock) -> SlotWorker:
    slot = Slot(0, (0,), (0,), (0,), (0,), (0,), 1, "")
    return SlotWorker(slot, Binding.of(slot), Path("log"), spent=SlotTime(clock=clock))


def hears(worker: SlotWorker, kind: str, **data: Any) -> None:
    worker._take_in(Message(kind, data))


CLAIM: dict[str, Any] = {"number": 0, "trial_id": 1, "token": "t"}


def test_starting_ends_with_the_first_trial_of_a_worker() -> None:
    clock = Clock()
    worker = slot_worker(clock)
    worker.spent.starts()
    clock.pass_(2)
    hears(worker, "claimed", **CLAIM)
    clock.pass_(5)
    hears(worker, "told", objective_s=4.5)
    hears(worker, "claimed", **CLAIM)
    record = worker.record(0, "node01")
    assert (record.starting_s, record.busy_s, record.lost_s, record.waited_s) == (2, 4.5, 0, 0)


def test_waiting_for_the_database_is_not_counted_as_starting() -> None:
    clock = Clock()
    worker = slot_worker(clock)
    worker.spent.starts()
    clock.pass_(2)
    hears(worker, "waiting", is_waiting=True)
    clock.pass_(30)
    hears(worker, "waiting", is_waiting=False)
    clock.pass_(1)
    hears(worker, "claimed", **CLAIM)
    assert (worker.spent.starting_s, worker.spent.waited_s) == (3, 30)


def test_a_worker_that_ends_while_it_waits_has_waited_until_then() -> None:
    clock = Clock()
    worker = slot_worker(clock)
    worker.spent.starts()
    hears(worker, "waiting", is_waiting=True)
    clock.pass_(7)
    worker.clear(returncode=75)
    clock.pass_(50)
    assert (worker.spent.starting_s, worker.spent.waited_s) == (0, 7)


def test_waiting_inside_an_objective_is_not_busy(monkeypatch: Any) -> None:
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    worker = slot_worker(clock)
    worker.spent.starts()
    hears(worker, "claimed", **CLAIM)
    clock.pass_(10)
    hears(worker, "waiting", is_waiting=True)
    clock.pass_(60)
    hears(worker, "waiting", is_waiting=False)
    hears(worker, "told", objective_s=70.0)
    assert (worker.spent.busy_s, worker.spent.waited_s) == (10, 60)


def test_the_time_of_a_lost_trial_is_lost(monkeypatch: Any) -> None:
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    worker = slot_worker(clock)
    worker.spent.starts()
    hears(worker, "claimed", **CLAIM)
    clock.pass_(4)
    assert worker.clear(returncode=-9) is not None
    record = worker.record(0, "node01")
    assert (record.lost_s, record.busy_s) == (4, 0)
