"""How well slots and machines were used: slot records and attempts in; seconds by use, and rates, out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.records import AttemptRecord, SlotRecord

Seat = tuple[str, str, int, int]  # host, Slurm job or "", rank, slot
USES = ("busy", "lost", "starting", "waiting", "idle")


@dataclass(frozen=True, slots=True)
class Utilisation:
    """What the time of some slots went into, in seconds; the uses are disjoint and add up to ``alive_s``.

    ``idle_s`` is what is left: between trials (sampling, storing), without a worker, without a trial to be
    had; and, where ``is_measured`` is false, starting, waiting and losing as well. ``efficiency`` is the CPU
    time of the attempts by their time × planned threads; None where it is not known.
    """

    busy_s: float
    lost_s: float
    starting_s: float
    waiting_s: float
    idle_s: float
    n_trials: int
    n_lost: int
    is_measured: bool
    efficiency: float | None = None

    @property
    def alive_s(self) -> float:
        """From the start of the first worker to the end of the last."""
        return self.busy_s + self.lost_s + self.starting_s + self.waiting_s + self.idle_s

    def seconds(self, use: str) -> float:
        """The seconds of one of ``USES``."""
        return float(getattr(self, f"{use}_s"))

    def share(self, use: str) -> float:
        """The part of the time that a use took, from 0 to 1."""
        return self.seconds(use) / self.alive_s if self.alive_s > 0 else 0.0


def seat_of(record: SlotRecord | AttemptRecord) -> Seat:
    """Where a slot is among those of all hosts and jobs; sorts as people read it."""
    return record.host, record.job or "", record.rank, record.slot


def of_slot(slot: SlotRecord, attempts: Sequence[AttemptRecord] = ()) -> Utilisation:
    """The use of one slot; ``attempts`` are those in it."""
    lost_s, starting_s, waiting_s = (value or 0.0 for value in (slot.lost_s, slot.starting_s, slot.waited_s))
    used_s = slot.busy_s + lost_s + starting_s + waiting_s
    return Utilisation(
        busy_s=slot.busy_s,
        lost_s=lost_s,
        starting_s=starting_s,
        waiting_s=waiting_s,
        idle_s=max(0.0, slot.alive_s - used_s),
        n_trials=slot.n_trials,
        n_lost=slot.n_lost,
        is_measured=slot.starting_s is not None,
        efficiency=_efficiency([(slot.threads, attempts)]),
    )


def of_slots(slots: Sequence[SlotRecord], attempts: Iterable[AttemptRecord]) -> dict[Seat, Utilisation]:
    """The use of every slot, in the order of their seats; the attempts may be of other slots too."""
    mine = _by_seat(attempts)
    ordered = sorted(slots, key=seat_of)
    return {seat_of(slot): of_slot(slot, mine.get(seat_of(slot), ())) for slot in ordered}


def of_hosts(slots: Sequence[SlotRecord], attempts: Iterable[AttemptRecord]) -> dict[str, Utilisation]:
    """The use of all slots of each host together, by its name."""
    mine = _by_seat(attempts)
    hosts: dict[str, list[SlotRecord]] = {}
    for slot in sorted(slots, key=seat_of):
        hosts.setdefault(slot.host, []).append(slot)
    return {host: _together(here, mine) for host, here in hosts.items()}


def _together(slots: Sequence[SlotRecord], mine: dict[Seat, list[AttemptRecord]]) -> Utilisation:
    parts = [of_slot(slot) for slot in slots]
    return Utilisation(
        busy_s=sum(part.busy_s for part in parts),
        lost_s=sum(part.lost_s for part in parts),
        starting_s=sum(part.starting_s for part in parts),
        waiting_s=sum(part.waiting_s for part in parts),
        idle_s=sum(part.idle_s for part in parts),
        n_trials=sum(part.n_trials for part in parts),
        n_lost=sum(part.n_lost for part in parts),
        is_measured=all(part.is_measured for part in parts),
        efficiency=_efficiency([(slot.threads, mine.get(seat_of(slot), ())) for slot in slots]),
    )


def _by_seat(attempts: Iterable[AttemptRecord]) -> dict[Seat, list[AttemptRecord]]:
    found: dict[Seat, list[AttemptRecord]] = {}
    for attempt in attempts:
        found.setdefault(seat_of(attempt), []).append(attempt)
    return found


def _efficiency(slots: Sequence[tuple[int, Sequence[AttemptRecord]]]) -> float | None:
    """CPU time by time × threads of the attempts of which both are known."""
    used_s = offered_s = 0.0
    for threads, attempts in slots:
        for attempt in attempts:
            if attempt.cpu_s is not None and attempt.objective_s is not None:
                used_s += attempt.cpu_s
                offered_s += attempt.objective_s * threads
    return used_s / offered_s if offered_s > 0 else None
