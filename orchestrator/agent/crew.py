"""The workers of one agent as processes: slots in; what they say and how they end out. It decides nothing."""

from __future__ import annotations

import selectors
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from affinity import Binding, Slot
from launchers import Warden
from orchestrator.agent.slot_worker import SlotWorker
from orchestrator.causes import Verdict
from orchestrator.channel import Message
from orchestrator.orders import LoadOrder
from orchestrator.stop import StopRequests
from orchestrator.ulimits import require_room


@dataclass(frozen=True, slots=True)
class News:
    """What a worker has said since, and its exit status if it has exited."""

    worker: SlotWorker
    messages: Sequence[Message]
    returncode: int | None


class Crew:
    """One worker process a slot, one after the other. Every process is awaited.

    Raises ``SpecError`` where the system's limits leave no room for them.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        binding_of: Callable[[Slot], Binding],
        log_of: Callable[[int], Path],
        order: LoadOrder,
        stops: StopRequests,
    ) -> None:
        require_room(slots)
        self.workers = [SlotWorker(slot, binding_of(slot), log_of(slot.index)) for slot in slots]
        self._order = order
        self._stops = stops
        self._warden = Warden()
        self._selector = selectors.DefaultSelector()
        self._selector.register(stops.wakeup_fd, selectors.EVENT_READ)

    @property
    def is_running(self) -> bool:
        """Whether any worker process is."""
        return any(worker.is_running for worker in self.workers)

    def start(self, worker: SlotWorker) -> None:
        """Start a process in an empty slot and tell it what to load."""
        worker.start(self._order, Path.cwd(), self._warden)
        assert worker.process is not None
        assert worker.wire is not None
        worker.descriptors = [worker.wire.read_fd]
        if worker.process.pidfd is not None:
            worker.descriptors.append(worker.process.pidfd)
        for descriptor in worker.descriptors:
            self._selector.register(descriptor, selectors.EVENT_READ)

    def listen(self, timeout_s: float) -> list[News]:
        """Wait until a worker speaks or exits, a signal comes, or the time is over; then say what is new."""
        self._selector.select(timeout_s)
        self._stops.drain()
        return [self._news_of(worker) for worker in self.workers]

    def _news_of(self, worker: SlotWorker) -> News:
        messages = worker.messages()
        if worker.process is None:
            return News(worker, messages, None)
        if worker.is_overdue():
            worker.process.kill()
        if worker.wire is not None and worker.wire.closed:
            self._forget([worker.wire.read_fd])  # else the end of the pipe would wake us for ever
        is_late = worker.is_overdue()
        returncode = worker.process.poll()
        if returncode is None:
            return News(worker, messages, None)
        said = worker.said_status if is_late else None
        return self._last_news(worker, messages, returncode if said is None else said)

    def _last_news(self, worker: SlotWorker, messages: Sequence[Message], returncode: int) -> News:
        assert worker.process is not None
        self._forget(worker.descriptors)
        self._warden.forget(worker.process.mark)
        return News(worker, [*messages, *worker.messages()], returncode)

    def _forget(self, descriptors: Sequence[int]) -> None:
        for descriptor in descriptors:
            if descriptor in self._selector.get_map():
                self._selector.unregister(descriptor)

    def end(self, verdict: Verdict, grace_s: float) -> list[News]:
        """End every process, by force after ``grace_s`` seconds; their last words."""
        running = [(worker, worker.process) for worker in self.workers if worker.process is not None]
        for worker, _ in running:
            worker.terminate(verdict, grace_s)
        ended = [(worker, process.end(grace_s)) for worker, process in running]
        return [self._last_news(worker, [], returncode) for worker, returncode in ended]

    def close(self) -> None:
        """Listen no more; nothing is left of what the workers have started."""
        self._selector.close()
        self._warden.close()
