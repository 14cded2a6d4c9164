"""What an agent tells of itself: its share of the machine and its workers in; data for the database out.

The plan stands in the database from the agent's first row on (``machine_report.planned``). What the workers
really got follows with a beat, and the last account, with all that the slots did, is its goodbye.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from affinity import Throttling
from orchestrator.agent.slot_worker import SlotWorker
from orchestrator.launching.launch import Launch
from orchestrator.machine_report import machine_report
from orchestrator.records import SlotRecord

_TELLING = 2  # looks of a worker at itself: when it begins, and when the objective has loaded its libraries


class Account:
    """Of one agent on ``host``, from the beginning of its work."""

    def __init__(self, launch: Launch, host: str, workers: Sequence[SlotWorker]) -> None:
        self._launch = launch
        self._host = host
        self._workers = workers
        self._throttling = Throttling()
        self._n_told = 0

    def news(self) -> dict[str, Any] | None:
        """The machine and its slots as they are seen by now; None: :meth:`was_told` knows of all that.

        There is something new twice for each slot at most: workers that come later see the same.
        """
        if self._n_seen() == self._n_told:
            return None
        share = self._launch.share
        return machine_report(share.topology, share.allowance, os.environ, self._slots())

    def was_told(self) -> None:
        """The news are in the database."""
        self._n_told = self._n_seen()

    def last(self) -> dict[str, Any]:
        """What the slots were promised, got and did; with what has held them up."""
        held_up = self._throttling.problem()
        return {"slots": [asdict(slot) for slot in self._slots((held_up,) if held_up is not None else ())]}

    def _n_seen(self) -> int:
        return sum(min(worker.n_seen, _TELLING) for worker in self._workers)

    def _slots(self, of_host: Sequence[str] = ()) -> Iterator[SlotRecord]:
        return (worker.record(self._launch.rank.index, self._host, of_host) for worker in self._workers)
