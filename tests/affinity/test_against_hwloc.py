"""Our reading and dividing of machines, against hwloc's own."""

from __future__ import annotations

import pytest
from hwloc import Machine, Pus
from machines import index, snapshot_root

from affinity import Allowance, partition, read_allowance, read_topology, unrestricted

INVENTED = (
    "pack:1 numa:1 core:6 pu:2",
    "pack:2 numa:1 core:8 pu:2",
    "pack:2 numa:2 l3:2 core:4 pu:2",
    "pack:4 numa:1 core:3 pu:1",
    "pack:1 numa:4 core:5 pu:4",
    "pack:2 numa:4 l3:1 core:7 pu:2",
)
MACHINES = [*INVENTED, *index()]

# Where we and hwloc differ, and why that is meant.
DIFFERENT = {
    ("16ia64-8n2s", "Package"): "its sibling masks deny what its package ids say; we believe the ids",
    ("40intel64-4n10c+pci-conflicts", "Package"): "hwloc loses one for a PCI device that is out of place",
    ("40intel64-4n10c+pci-conflicts", "L3Cache"): "likewise",
    ("4fake-4gr1nu1pu", "Core"): "hwloc has none; a PU is a core of its own for us",
    ("2ps3-2t", "Package"): "hwloc has none; all is one package for us",
}


def machine_of(name: str) -> tuple[Machine, Allowance]:
    if name in INVENTED:
        machine = Machine.synthetic(name)
        return machine, unrestricted(machine.topology)
    root = snapshot_root(name)
    topology = read_topology(root)
    return Machine(topology, root), read_allowance(topology, root)


def our_sets(machine: Machine) -> dict[str, set[Pus]]:
    topology = machine.topology
    return {
        "PU": {frozenset((pu,)) for pu in topology.pus},
        "Core": {frozenset(core.pus) for core in topology.cores},
        "L3Cache": {frozenset(llc.pus) for llc in topology.llcs},
        "NUMANode": {frozenset(node.pus) for node in topology.numa_nodes if node.pus},
        "Package": {frozenset(package.pus) for package in topology.packages},
    }


@pytest.mark.parametrize("name", MACHINES)
def test_pus_cores_caches_nodes_and_packages_are_those_of_hwloc(name: str) -> None:
    machine, _ = machine_of(name)
    theirs, ours = machine.sets(), our_sets(machine)
    for kind, mine in ours.items():
        if kind == "L3Cache" and not theirs["L3Cache"]:
            continue  # none, or not known: another cache, or the node, is our domain then
        assert (mine == theirs[kind]) is ((name, kind) not in DIFFERENT), kind


def crossings(machine: Machine, slots: list[Pus]) -> int:
    nodes = [frozenset(node.pus) for node in machine.topology.numa_nodes if node.pus]
    return sum(sum(bool(slot & node) for node in nodes) - 1 for slot in slots)


def sizes(machine: Machine, slots: list[Pus]) -> list[int]:
    cores = [frozenset(core.pus) for core in machine.topology.cores]
    return [sum(bool(slot & core) for core in cores) for slot in slots]


def split_cores(machine: Machine, slots: list[Pus]) -> int:
    cores = [frozenset(core.pus) for core in machine.topology.cores]
    return sum(sum(bool(slot & core) for slot in slots) > 1 for core in cores)


def widths(n_cores: int) -> list[int]:
    """Some of 1 to C: small ones, halves, odd ones, all."""
    some = {1, 2, 3, 4, 5, 6, 7, 8, 12, n_cores // 2, n_cores // 2 + 1, n_cores - 1, n_cores}
    return sorted(n for n in some if 1 <= n <= n_cores)


HEAD = f"{'machine':40} {'n':>3}  {'crossings':>20}  {'cores of slots':>24}  {'split cores':>12}"


@pytest.mark.parametrize("name", MACHINES)
def test_divisions_are_never_worse_than_those_of_hwloc_distrib(name: str) -> None:
    machine, allowance = machine_of(name)
    kinds = len(machine.topology.kinds)
    print(HEAD)
    for n in widths(len(machine.topology.cores_within(allowance.pus))):
        theirs = machine.distributed(n)
        local, balanced = (
            [frozenset(slot.pus) for slot in partition(machine.topology, allowance, n, policy=policy).slots]
            for policy in ("local", "balanced")
        )
        far = [crossings(machine, slots) for slots in (local, balanced, theirs)]
        wide = [sizes(machine, slots) for slots in (local, balanced, theirs)]
        cut = [split_cores(machine, slots) for slots in (local, balanced, theirs)]
        print(_row(name, n, far, wide, cut))
        # Theirs may leave PUs out, or give one to two slots, where it has too few objects to give.
        is_division = frozenset().union(*theirs) == frozenset(allowance.pus) and cut[2] == 0
        if is_division and kinds == 1:
            assert far[0] <= far[2]
        assert cut[:2] == [0, 0]
        if kinds == 1:
            assert max(wide[1]) - min(wide[1]) <= 1


def _row(name: str, n: int, far: list[int], wide: list[list[int]], cut: list[int]) -> str:
    """Ours by local and by balanced, and theirs."""
    shown = " | ".join(f"{min(one)}-{max(one)}" for one in wide)
    return f"{name:40} {n:3}  {' | '.join(map(str, far)):>20}  {shown:>24}  {' | '.join(map(str, cut)):>12}"
