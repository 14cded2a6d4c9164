"""Slot and Partition: the answer of `partition`, frozen and complete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Slot:
    """The share of a machine that one worker gets.

    ``pus`` are kernel numbers; ``cores`` and ``llcs`` logical indexes of the topology; ``numa_nodes`` the
    nodes of its cores and ``memory_nodes`` those its memory should come from, kernel numbers. ``threads`` is
    how many compute threads it should run; ``why`` one phrase for people.
    """

    index: int
    pus: tuple[int, ...]
    cores: tuple[int, ...]
    numa_nodes: tuple[int, ...]
    memory_nodes: tuple[int, ...]
    llcs: tuple[int, ...]
    threads: int
    why: str


@dataclass(frozen=True, slots=True)
class Partition:
    """A machine divided: ``slots[i].index == i``, ascending by lowest PU.

    ``crossings`` is Σ over slots of (NUMA nodes - 1), ``llc_splits`` Σ of (LLCs - 1), ``imbalance`` the
    cores of the largest less those of the smallest slot (of one core kind, the worst kind). ``idle_pus`` were
    to be divided and are in no slot.
    """

    slots: tuple[Slot, ...]
    policy: Literal["balanced", "local", "oversubscribed"]
    reason: str
    warnings: tuple[str, ...]
    crossings: int
    llc_splits: int
    imbalance: int
    idle_pus: tuple[int, ...] = ()
