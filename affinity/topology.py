"""A machine: what the readers (sysfs, synthetic) produce and what everything else divides.

All are frozen values. ``pus`` are the kernel's CPU numbers (hwloc's ``os_index``), ascending, online ones
only. Numbers called ``index`` of Core, Llc and CoreKind are ours: dense from 0. Packages and NUMA nodes keep
the kernel's numbers, which may have gaps.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

KindName = Literal["performance", "efficient", "any"]


@dataclass(frozen=True, slots=True)
class Core:
    """One core and the places it belongs to; a core is in exactly one package, node, LLC and kind."""

    index: int
    pus: tuple[int, ...]
    package: int
    numa_node: int
    llc: int
    kind: int


@dataclass(frozen=True, slots=True)
class Llc:
    """A last-level cache: the highest-level unified cache its PUs share.

    Where the machine tells nothing about caches, the PUs of a NUMA node of one package stand for one.
    ``size_kib`` is None when unknown.
    """

    index: int
    pus: tuple[int, ...]
    size_kib: int | None


@dataclass(frozen=True, slots=True)
class NumaNode:
    """A NUMA node; ``pus`` is empty for memory without CPUs (HBM, CXL, GPU), ``memory_mib`` 0 for none.

    ``distances`` are the kernel's (ACPI SLIT: 10 is itself), one for each node of the topology, in its
    order; empty when unknown. ``memory_mib`` is None when unknown.
    """

    os_index: int
    pus: tuple[int, ...]
    memory_mib: int | None
    distances: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Package:
    """A physical package; ``index`` is the kernel's ``physical_package_id``, -1 where it knows none."""

    index: int
    pus: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CoreKind:
    """Cores of like speed; index 0 is the fastest. A machine of equal cores has one kind, 'any'."""

    index: int
    name: KindName
    pus: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Topology:
    """A whole machine, in the order packages, NUMA nodes, LLCs, cores; ``cores[i].index == i``.

    Cores are sorted by (lowest PU of their package, of their node, of their LLC, of their own), so
    neighbours in this order are neighbours in the machine. ``source`` says where it was read (for people),
    ``cpu_model`` is '' when unknown, ``offline`` are CPUs that exist and are switched off.
    """

    packages: tuple[Package, ...]
    numa_nodes: tuple[NumaNode, ...]
    llcs: tuple[Llc, ...]
    cores: tuple[Core, ...]
    kinds: tuple[CoreKind, ...]
    offline: tuple[int, ...]
    source: str
    cpu_model: str

    @property
    def pus(self) -> tuple[int, ...]:
        """All online PUs, ascending."""
        return tuple(sorted(pu for core in self.cores for pu in core.pus))

    @property
    def smt(self) -> int:
        """Most PUs that one core has."""
        return max(len(core.pus) for core in self.cores)

    def node(self, os_index: int) -> NumaNode:
        """The NUMA node of that kernel number; KeyError when there is none."""
        for node in self.numa_nodes:
            if node.os_index == os_index:
                return node
        raise KeyError(os_index)

    def cores_within(self, pus: Collection[int]) -> tuple[Core, ...]:
        """The cores that have any of these PUs, with those PUs only."""
        allowed = frozenset(pus)
        cores = ((core, tuple(pu for pu in core.pus if pu in allowed)) for core in self.cores)
        return tuple(
            core
            if kept == core.pus
            else Core(core.index, kept, core.package, core.numa_node, core.llc, core.kind)
            for core, kept in cores
            if kept
        )
