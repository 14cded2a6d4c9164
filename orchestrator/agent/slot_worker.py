"""A slot as its agent sees it: the worker process in it, what it last said, and what the slot has done."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from affinity import Binding, Slot, format_list
from launchers import (
    SpawnError,
    Warden,
    WorkerProcess,
    WorkerSpec,
    describe_exit,
    start_worker,
    worker_environment,
)
from orchestrator.agent.running_trial import RunningTrial
from orchestrator.agent.slot_time import SlotTime
from orchestrator.agent.worker_usage import WorkerUsage
from orchestrator.causes import Verdict
from orchestrator.channel import Channel, Message, open_wire
from orchestrator.machine_report import promised
from orchestrator.orders import LoadOrder, WorkOrder
from orchestrator.records import PoolRecord, SlotRecord
from orchestrator.snapshot import BusySlot

MODULE = "orchestrator.worker"
_SOON = 2  # deaths in a row after which a new worker starts at once
_LINGER_S = 10.0  # how long a worker may take to exit after its last word


@dataclass(slots=True)
class SlotWorker:
    """One slot of this agent and the worker in it, one after the other."""

    slot: Slot
    binding: Binding
    log: Path
    process: WorkerProcess | None = None
    descriptors: list[int] = field(default_factory=list)  # what the agent's loop listens to
    wire: Channel | None = None
    is_ready: bool = False
    has_order: bool = False
    said_status: int | None = None  # its exit status by its last word
    trial: RunningTrial | None = None
    n_trials: int = 0
    n_lost: int = 0
    deaths: int = 0  # in a row, without a finished trial between
    last_exit: str = ""  # how the worker before ended, for people
    retry_at_s: float = 0.0
    kill_at_s: float | None = None  # it was told to end, or has said its last word
    verdict: Verdict | None = None  # why it was told to end
    judged: str | None = None  # the token of the attempt that this was for; None: whatever it is at
    spent: SlotTime = field(default_factory=SlotTime)
    first_start_s: float | None = None
    last_end_s: float | None = None
    usage: WorkerUsage = field(default_factory=WorkerUsage)  # of the worker at hand, or the last one
    seen: Mapping[str, Any] = field(default_factory=dict)  # what the worker has last said that it got
    n_seen: int = 0  # how often one has said so

    @property
    def is_running(self) -> bool:
        """Whether a worker process is in the slot."""
        return self.process is not None

    def start(self, order: LoadOrder, cwd: Path, warden: Warden) -> None:
        """Start a worker in the slot and tell it what to load. Raises ``SpawnError``."""
        self.process, self.wire = self._spawned(cwd, warden)
        self.trial = None
        self.kill_at_s = self.verdict = self.judged = self.said_status = None
        self.usage = WorkerUsage.of_new_worker()
        self.is_ready = self.has_order = False
        self.first_start_s = self.first_start_s or time.monotonic()
        self.spent.starts()
        self.wire.send("load", **order.as_json())

    def _spawned(self, cwd: Path, warden: Warden) -> tuple[WorkerProcess, Channel]:
        """A worker process and the wire to it."""
        try:
            wire, (reads, writes) = open_wire()
        except OSError as error:
            raise SpawnError(f"A worker cannot be started: {error.strerror} (see ulimit -n).") from error
        spec = WorkerSpec(
            argv=(sys.executable, "-P", "-m", MODULE, str(reads), str(writes)),
            binding=self.binding,
            env=worker_environment(os.environ),
            cwd=cwd,
            log=self.log,
            pass_fds=(reads, writes),
        )
        warden.watch(spec.mark)
        try:
            return start_worker(spec), wire
        except SpawnError:
            wire.close()
            raise
        finally:
            os.close(reads)
            os.close(writes)

    def give(self, order: WorkOrder) -> None:
        """The worker is ready: tell it the run to work for."""
        assert self.wire is not None
        self.has_order = True
        self.wire.send("work", **order.as_json())

    def terminate(self, verdict: Verdict, grace_s: float) -> None:
        """Tell the worker to end, in a way that Python code can catch; it is killed after ``grace_s``.

        The verdict is on the trial that it is at, not on another one.
        """
        if self.process is not None and self.verdict is None:
            self.verdict, self.kill_at_s = verdict, time.monotonic() + grace_s
            self.judged = self.trial.token if self.trial is not None else None
            if self.wire is not None:
                self.wire.send("end")  # the objective may have put a handler of its own on the signal
            self.process.terminate()

    def could_not_start(self, why: str) -> None:
        """The system refuses another process just now: try again a little later."""
        self._has_died(why)

    def let_begin(self) -> None:
        """The worker has asked: there is time for another trial."""
        if self.wire is not None:
            self.wire.send("go")

    def stop(self) -> None:
        """Ask the worker to begin no further trial."""
        if self.wire is not None:
            self.wire.send("stop")

    def hurry(self) -> None:
        """Tell the worker's trial that it has a few seconds left."""
        if self.wire is not None:
            self.wire.send("hurry")

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
                self.spent.has_started()
                self.trial = RunningTrial(**data, since_s=time.monotonic())
            case "sampled" if self.trial is not None:
                self.trial.params = data["params"]
            case "suggested" if self.trial is not None:
                self.trial.hear_of(**data)
            case "stored" if self.trial is not None:
                self.trial.are_stored(data["names"])
            case "reported" if self.trial is not None:
                self.trial.step, self.trial.value = data["step"], data["value"]
            case "waiting":
                self._waits(data["is_waiting"])
            case "dropped":
                self._lose_trial()
            case "told":
                self._finish_trial(data["objective_s"])
            case "observed":
                self.seen = data
                self.n_seen += 1
            case "done":
                self.said_status, self.kill_at_s = 0, time.monotonic() + _LINGER_S
            case "leaving":
                self.said_status, self.kill_at_s = data["status"], time.monotonic() + _LINGER_S

    def _waits(self, is_waiting: bool) -> None:
        self.spent.waits(is_waiting)
        if self.trial is not None:
            self.trial.waits(is_waiting)

    def _finish_trial(self, objective_s: float) -> None:
        trial, self.trial = self.trial, None
        self.deaths = 0
        self.n_trials += 1
        has_waited = trial is not None and trial.waited_s > 0  # which the worker's figure does not tell
        self.spent.busy_s += min(objective_s, trial.ran_s) if trial and has_waited else objective_s

    def _lose_trial(self) -> RunningTrial | None:
        trial, self.trial = self.trial, None
        self.spent.lost_s += trial.ran_s if trial is not None else 0.0
        return trial

    def sample_memory(self) -> None:
        """Note what the worker has taken at most, for the record should it be killed."""
        if self.process is not None:
            self.usage.sample_memory(self.process.pid)

    def is_overdue(self) -> bool:
        """Whether the worker was to have exited by now."""
        return self.kill_at_s is not None and time.monotonic() > self.kill_at_s

    def clear(self, returncode: int) -> RunningTrial | None:
        """The worker has exited: empty the slot; returns the trial it was at."""
        self._take_stock()
        self.spent.has_ended()
        lost, self.process = self._lose_trial(), None
        if self.wire is not None:
            self.wire.close()
            self.wire = None
        self.last_end_s = time.monotonic()
        self.last_exit = describe_exit(returncode)
        self.is_ready = self.has_order = False
        if self.verdict is None and (returncode != 0 or lost is not None):
            self._has_died(self.last_exit)
        return lost

    def _take_stock(self) -> None:
        """What the kernel says that the worker has used."""
        used = self.process.usage if self.process is not None else None
        if used is not None:
            self.usage.take_stock(used, self.trial.cpu_before_s if self.trial is not None else 0.0)

    def _has_died(self, how: str) -> None:
        self.last_exit = how
        self.deaths += 1
        pause_s = 0.0 if self.deaths <= _SOON else min(0.1 * 2**self.deaths, 2.0)
        self.retry_at_s = time.monotonic() + pause_s

    def at_work(self, host: str) -> BusySlot | None:
        """The slot as a view shows it; None when its worker is at no trial."""
        if self.trial is None:
            return None
        trial, cpus = self.trial, format_list(self.slot.pus)
        age_s = time.monotonic() - trial.since_s
        return BusySlot(self.slot.index, host, cpus, trial.number, trial.step, trial.value, age_s)

    def last_words(self) -> str:
        """The last line of the slot's log."""
        lines = self.log.read_text(errors="replace").split("\n") if self.log.exists() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "nothing")

    def record(self, rank: int, host: str, of_host: Sequence[str] = ()) -> SlotRecord:
        """What the slot was promised, got and did; ``of_host`` are problems that all slots share."""
        end_s = time.monotonic() if self.is_running else self.last_end_s
        alive_s = end_s - self.first_start_s if end_s and self.first_start_s else 0.0
        return replace(
            promised(self.slot, rank, host),
            got_cpus=self.seen.get("cpus"),
            got_pools=tuple(PoolRecord(**pool) for pool in self.seen.get("pools", ())),
            problems=(*self.seen.get("problems", ()), *of_host),
            n_trials=self.n_trials,
            n_lost=self.n_lost,
            busy_s=self.spent.busy_s,
            alive_s=alive_s,
            got_memory_mib=self.seen.get("memory_mib", {}),
            starting_s=self.spent.starting_s,
            waited_s=self.spent.waited_s,
            lost_s=self.spent.lost_s,
        )
