"""A slot as its agent sees it: the worker process in it, what it last said, and what the slot has done."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from affinity import Binding, Slot, format_list
from launchers import WorkerProcess, WorkerSpec, describe_exit, start_worker, worker_environment
from orchestrator.channel import Channel, Message, open_wire
from orchestrator.orders import LoadOrder, WorkOrder
from orchestrator.records import PoolRecord, SlotRecord

MODULE = "orchestrator.worker"
STORAGE_FAILED = 75  # the exit status of a worker that the database left alone (EX_TEMPFAIL, sysexits.h)
_LINGER_S = 10.0  # how long a worker may take to exit after its last word


@dataclass(slots=True)
class RunningTrial:
    """The trial that a worker is at, as far as it has said."""

    number: int
    trial_id: int
    token: str
    since_s: float  # time.monotonic()
    step: int | None = None
    value: float | None = None
    params: Mapping[str, Any] = field(default_factory=dict)  # sampled, perhaps not yet suggested
    suggested: dict[str, tuple[float, str]] = field(default_factory=dict)  # perhaps not yet stored
    suggested_s: float = math.inf  # when the first of them came

    def hear_of(self, name: str, internal: float, distribution: str) -> None:
        """A parameter was suggested that the worker has not stored."""
        self.suggested[name] = (internal, distribution)
        self.suggested_s = min(self.suggested_s, time.monotonic())

    def are_stored(self, names: Iterable[str]) -> None:
        """These parameters are in the database, or will never be."""
        for name in names:
            self.suggested.pop(name, None)
        self.suggested_s = time.monotonic() if self.suggested else math.inf


@dataclass(slots=True)
class SlotWorker:
    """One slot of this agent and the worker in it, one after the other."""

    slot: Slot
    log: Path
    process: WorkerProcess | None = None
    descriptors: list[int] = field(default_factory=list)  # what the agent's loop listens to
    wire: Channel | None = None
    is_ready: bool = False
    has_order: bool = False
    trial: RunningTrial | None = None
    n_trials: int = 0
    n_lost: int = 0
    deaths: int = 0  # in a row, without a finished trial between
    last_exit: str = ""  # how the worker before ended, for people
    retry_at_s: float = 0.0
    linger_until_s: float | None = None
    busy_s: float = 0.0
    first_start_s: float | None = None
    last_end_s: float | None = None
    peak_rss_mib: float | None = None
    seen: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_running(self) -> bool:
        """Whether a worker process is in the slot."""
        return self.process is not None

    def start(self, order: LoadOrder, cwd: Path) -> None:
        """Start a worker in the slot and tell it what to load."""
        wire, (reads, writes) = open_wire()
        spec = WorkerSpec(
            argv=(sys.executable, "-P", "-m", MODULE, str(reads), str(writes)),
            binding=Binding.of(self.slot),
            env=worker_environment(os.environ),
            cwd=cwd,
            log=self.log,
            pass_fds=(reads, writes),
        )
        try:
            self.process = start_worker(spec)
        finally:
            os.close(reads)
            os.close(writes)
        self.wire, self.trial, self.linger_until_s = wire, None, None
        self.is_ready = self.has_order = False
        self.first_start_s = self.first_start_s or time.monotonic()
        wire.send("load", **order.as_json())

    def give(self, order: WorkOrder) -> None:
        """The worker is ready: tell it the run to work for."""
        assert self.wire is not None
        self.has_order = True
        self.wire.send("work", **order.as_json())

    def terminate(self) -> None:
        """Ask the worker's processes to end now."""
        if self.process is not None:
            self.process.terminate_group()

    def end(self, grace_s: float) -> int:
        """End the worker's processes, by force after ``grace_s``; its exit status."""
        assert self.process is not None
        return self.process.end(grace_s)

    def stop(self) -> None:
        """Ask the worker to begin no further trial."""
        if self.wire is not None:
            self.wire.send("stop")

    def messages(self) -> list[Message]:
        """What the worker has said since; the slot's picture of it is brought up to date."""
        if self.wire is None or self.wire.closed:
            return []
        messages = self.wire.pending()
        for message in messages:
            self._take_in(message)
        return messages

    def _take_in(self, message: Message) -> None:
        data = message.data
        match message.kind:
            case "ready":
                self.is_ready = True
            case "claimed":
                self.trial = RunningTrial(**data, since_s=time.monotonic())
            case "sampled" if self.trial is not None:
                self.trial.params = data["params"]
            case "suggested" if self.trial is not None:
                self.trial.hear_of(**data)
            case "stored" if self.trial is not None:
                self.trial.are_stored(data["names"])
            case "reported" if self.trial is not None:
                self.trial.step, self.trial.value = data["step"], data["value"]
            case "dropped":
                self.trial = None
            case "told":
                self.trial = None
                self.deaths = 0
                self.n_trials += 1
                self.busy_s += data["objective_s"]
            case "observed":
                self.seen = data
            case "done":
                self.linger_until_s = time.monotonic() + _LINGER_S

    def sample_memory(self) -> None:
        """Note the worker's resident memory, for the record should it be killed."""
        import psutil

        if self.process is not None:
            try:
                rss_mib = psutil.Process(self.process.pid).memory_info().rss / 2**20
            except psutil.Error:
                return
            self.peak_rss_mib = max(self.peak_rss_mib or 0.0, rss_mib)

    def lingers(self) -> bool:
        """Whether the worker has said its last word and still does not exit."""
        return self.linger_until_s is not None and time.monotonic() > self.linger_until_s

    def clear(self, returncode: int) -> RunningTrial | None:
        """The worker has exited: empty the slot; returns the trial it was at."""
        lost, self.trial, self.process = self.trial, None, None
        if self.wire is not None:
            self.wire.close()
            self.wire = None
        self.last_end_s = time.monotonic()
        self.last_exit = describe_exit(returncode)
        self.is_ready = self.has_order = False
        if returncode != 0 or lost is not None:
            self.deaths += 1
            self.retry_at_s = time.monotonic() + (0.0 if self.deaths < 2 else min(0.2 * 2**self.deaths, 2.0))
        return lost

    def last_words(self) -> str:
        """The last line of the slot's log."""
        lines = self.log.read_text(errors="replace").split("\n") if self.log.exists() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "nothing")

    def record(self, rank: int, host: str) -> SlotRecord:
        """What the slot was promised, got and did."""
        end_s = time.monotonic() if self.is_running else self.last_end_s
        alive_s = end_s - self.first_start_s if end_s and self.first_start_s else 0.0
        return SlotRecord(
            rank=rank,
            host=host,
            slot=self.slot.index,
            cpus=format_list(self.slot.pus),
            numa_nodes=self.slot.numa_nodes,
            threads=self.slot.threads,
            got_cpus=self.seen.get("cpus"),
            got_pools=tuple(PoolRecord(**pool) for pool in self.seen.get("pools", ())),
            problems=tuple(self.seen.get("problems", ())),
            n_trials=self.n_trials,
            n_lost=self.n_lost,
            busy_s=self.busy_s,
            alive_s=alive_s,
        )
