"""What people may choose about a division: options come in; a checked Choices, which applies them, goes out.

One value for the command line, Python and a run's settings, so that all of them divide a machine alike, and
the ranks of a node come to the same answer without a word between them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from affinity.allowance import Allowance
from affinity.binding import Binding
from affinity.cpuset import parse_list
from affinity.errors import AffinityError, PartitionError
from affinity.fitting import most_slots
from affinity.partition import ThreadsPer, partition
from affinity.picking import Policy
from affinity.selection import selected
from affinity.slots import Partition, Slot
from affinity.threads import OmpBind
from affinity.topology import KindName, Topology

MemPolicy = Literal["preferred", "bind", "interleave", "none"]


@dataclass(frozen=True, slots=True)
class Choices:
    """How a machine is divided and its slots are bound; checked when made (PartitionError).

    Which PUs are divided: all that are allowed, less ``exclude`` (PUs), less ``reserve`` whole cores, only
    those of ``core_kind``, and without ``smt`` one PU of each core (``affinity.selection`` says which).

    How: ``policy``, ``oversubscribe`` and ``cores_per_slot`` (``affinity.partition``).

    What a slot's process gets: a computing thread for each core, or for each PU (``threads_per``),
    ``mem_policy`` for its memory nodes ("none": what it inherits), ``omp_bind`` (None: OpenMP's threads are
    free inside the slot), and ``dataloader_workers``, the processes that the program will start beside its
    computing threads.
    """

    policy: Policy = "auto"
    oversubscribe: bool = False
    cores_per_slot: int | None = None
    smt: bool = True
    reserve: int = 0
    exclude: tuple[int, ...] = ()
    core_kind: KindName = "any"
    mem_policy: MemPolicy = "preferred"
    omp_bind: OmpBind | None = None
    dataloader_workers: int = 0
    threads_per: ThreadsPer = "core"

    def __post_init__(self) -> None:
        self._one_of("policy", get_args(Policy))
        self._one_of("core_kind", get_args(KindName))
        self._one_of("mem_policy", get_args(MemPolicy))
        self._one_of("omp_bind", (None, *get_args(OmpBind)))
        self._one_of("threads_per", get_args(ThreadsPer))
        self._one_of("smt", (True, False))
        self._one_of("oversubscribe", (True, False))
        self._count("reserve", 0)
        self._count("dataloader_workers", 0)
        if self.cores_per_slot is not None:
            self._count("cores_per_slot", 1)
        object.__setattr__(self, "exclude", _numbers(self.exclude))

    def _one_of(self, name: str, known: tuple[Any, ...]) -> None:
        value = getattr(self, name)
        if not any(value is one or (value == one and isinstance(value, str)) for one in known):
            raise PartitionError(f"{name} is {value!r}; it must be one of {', '.join(map(str, known))}.")

    def _count(self, name: str, least: int) -> None:
        value = getattr(self, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise PartitionError(f"{name} is {value!r}; it must be a number from {least} on.")

    @property
    def need_a_process(self) -> bool:
        """Whether something is wished that only a process of its own can be given."""
        return replace(self, policy="auto", oversubscribe=False, dataloader_workers=0) != Choices()

    def select(self, topology: Topology, allowance: Allowance) -> Allowance:
        """What is left of the allowance to be divided. Raises PartitionError when that is nothing."""
        return selected(
            topology,
            allowance,
            exclude=self.exclude,
            reserve=self.reserve,
            core_kind=self.core_kind,
            smt=self.smt,
        )

    def most_slots(self, topology: Topology, selected: Allowance) -> int:
        """How many slots there can be, one for each core or as many as fit; of a selected allowance."""
        cores = topology.cores_within(selected.pus)
        return most_slots(topology, cores, self.cores_per_slot, self.policy)

    def divide(self, topology: Topology, selected: Allowance, n_slots: int) -> Partition:
        """The slots of a selected allowance. Raises PartitionError as ``partition`` does."""
        return partition(
            topology,
            selected,
            n_slots,
            policy=self.policy,
            oversubscribe=self.oversubscribe,
            cores_per_slot=self.cores_per_slot,
            threads_per=self.threads_per,
        )

    def binding(self, slot: Slot) -> Binding:
        """What a process of this slot gets."""
        return Binding.of(
            slot,
            memory_policy=self.mem_policy,
            omp_bind=self.omp_bind,
            dataloader_workers=self.dataloader_workers,
        )

    def warnings(self, divided: Partition) -> tuple[str, ...]:
        """One line for each choice that these slots do not bear."""
        found = []
        tightest = min(slot.threads for slot in divided.slots)
        if 0 < self.dataloader_workers >= tightest:
            found.append(
                f"DataLoader workers ({self.dataloader_workers}) take all threads of a slot ({tightest}): "
                "one is left to compute, and they share its cores."
            )
        if self.dataloader_workers and self.omp_bind is not None:
            found.append(
                f"OpenMP's binding ({self.omp_bind}) narrows the main thread to one core, and the DataLoader "
                "workers that it starts inherit that; leave one of both out."
            )
        return tuple(found)


def _numbers(given: str | Iterable[int]) -> tuple[int, ...]:
    """``"0-3,8"`` or numbers, as an ascending tuple."""
    try:
        numbers = parse_list(given) if isinstance(given, str) else tuple(sorted(set(given)))
    except (AffinityError, TypeError) as error:
        raise PartitionError(f"exclude is {given!r}; it must be a list of PUs, as 0-3,8: {error}") from None
    if not all(isinstance(one, int) and one >= 0 for one in numbers):
        raise PartitionError(f"exclude is {given!r}; it must be a list of PUs, as 0-3,8.")
    return numbers
