"""Which allowed PUs are to be divided: an Allowance and what to leave out come in, a smaller one goes out.

In this order, so that each takes from what the one before has left:

1. ``exclude``: these PUs, whatever cores they are parts of; numbers that are not there count for nothing (a
   list may be meant for the largest of several machines).
2. ``reserve``: so many whole cores for what is not ours (the operating system, a database, the agent). Which:

   - the slowest kind of cores first: they are fast enough for that, and trials keep the fast ones;
   - first the core that holds CPU 0, where that is allowed and of this kind: the kernel starts on it, and
     interrupts, timers and work that nobody has bound land on it more than on others;
   - then always from the NUMA node that has lost the smallest part of its cores so far, in it from such an
     LLC, there the core of the lowest number. So nodes and caches stay as equal as they can be, and equal
     slots cross none of them: 2 nodes of 8 less 2 cores are 7 and 7, and not 6 and 8. A database that is
     spread over the nodes loses little: nothing binds it, and it has an idle core near any of its memory.

   Equally good ones are told apart by shapes and distances first, and by their numbers at last.
3. ``core_kind``: "performance" leaves the fastest kind, "efficient" all but that one. After the reservation,
   which then costs no fast core where there are slow ones.
4. without ``smt``: the lowest PU of each core; its siblings belong to nobody.
"""

from __future__ import annotations

from collections.abc import Sequence

from affinity.allowance import Allowance
from affinity.cpuset import format_list
from affinity.division import group_by, shape_of
from affinity.errors import PartitionError
from affinity.ranks import distances, ranks
from affinity.topology import Core, KindName, Topology


def selected(
    topology: Topology,
    allowance: Allowance,
    *,
    exclude: Sequence[int] = (),
    reserve: int = 0,
    core_kind: KindName = "any",
    smt: bool = True,
) -> Allowance:
    """What is to be divided, with a constraint for each reason. PartitionError when nothing is left."""
    if exclude:
        allowance = _something(allowance.without(exclude, "excluded"), f"PUs {format_list(exclude)} excluded")
    if reserve:
        allowance = _less_reserved(topology, allowance, reserve)
    if core_kind != "any":
        allowance = _of_kind(topology, allowance, core_kind)
    return allowance if smt or topology.smt == 1 else allowance.one_pu_per_core(topology)


def _something(allowance: Allowance, what: str) -> Allowance:
    if not allowance.pus:
        raise PartitionError(f"Nothing is left to be divided: {what}. Name fewer.")
    return allowance


def _less_reserved(topology: Topology, allowance: Allowance, count: int) -> Allowance:
    cores = topology.cores_within(allowance.pus)
    if count >= len(cores):
        raise PartitionError(
            f"{count} reserved cores leave none of the {len(cores)} that this process may use "
            f"({format_list(allowance.pus)}); reserve fewer."
        )
    taken = [pu for core in reserved_cores(topology, cores, count) for pu in core.pus]
    return allowance.without(taken, "reserved", f"{count} core{'s' * (count > 1)}")


def _of_kind(topology: Topology, allowance: Allowance, name: KindName) -> Allowance:
    wanted = [kind for kind in topology.kinds if (kind.index == 0) == (name == "performance")]
    left = allowance.only({pu for kind in wanted for pu in kind.pus}, "core kind", f"only {name} cores")
    if left.pus:
        return left
    kinds = ", ".join(f"{kind.name} {format_list(kind.pus)}" for kind in topology.kinds)
    there = "all cores of this machine are equal" if len(topology.kinds) == 1 else f"this machine has {kinds}"
    raise PartitionError(
        f"There is no {name} core among the PUs that may be used ({format_list(allowance.pus)}): {there}. "
        "Leave the kind of cores out."
    )


def reserved_cores(topology: Topology, cores: Sequence[Core], count: int) -> list[Core]:
    """The ``count`` cores of these to be left to others, as the head of this module says."""
    taken: list[Core] = []
    for kind in sorted(group_by(cores, lambda core: core.kind), key=lambda kind: -kind[0].kind):
        nodes = group_by(kind, lambda core: core.numa_node)
        numbers = _in_turns(topology, nodes, min(count - len(taken), len(kind)))
        for node, number in zip(nodes, numbers, strict=True):
            taken += _from_caches(node, number)
    return taken


def _in_turns(topology: Topology, nodes: Sequence[Sequence[Core]], count: int) -> list[int]:
    """How many cores each node gives. Of equally good ones, that of CPU 0, the larger, then by distances."""
    apart = distances(topology, nodes)
    marks = [(not _has_cpu_0(node), shape_of(node)) for node in nodes]
    lowest = [min(core.pus[0] for core in node) for node in nodes]
    taken = [0] * len(nodes)
    for _ in range(count):
        lost = {place: taken[place] / len(nodes[place]) for place in _not_empty(nodes, taken)}
        tied = [place for place in lost if lost[place] == min(lost.values())]
        if len(tied) > 1:
            order = ranks(list(zip(marks, taken, strict=True)), apart)
            tied.sort(key=lambda place: (order[place], lowest[place]))
        taken[tied[0]] += 1
    return taken


def _from_caches(node: Sequence[Core], count: int) -> list[Core]:
    """So many cores of a node, in turns from its LLCs."""
    llcs = group_by(node, lambda core: core.llc)
    order = [(not _has_cpu_0(llc), shape_of(llc), min(core.pus[0] for core in llc)) for llc in llcs]
    taken = [0] * len(llcs)
    for _ in range(count):
        free = _not_empty(llcs, taken)
        taken[min(free, key=lambda place: (taken[place] / len(llcs[place]), order[place]))] += 1
    return [
        core
        for llc, number in zip(llcs, taken, strict=True)
        for core in sorted(llc, key=lambda core: (0 not in core.pus, len(core.pus), core.pus[0]))[:number]
    ]


def _not_empty(groups: Sequence[Sequence[Core]], taken: Sequence[int]) -> list[int]:
    return [place for place, group in enumerate(groups) if taken[place] < len(group)]


def _has_cpu_0(cores: Sequence[Core]) -> bool:
    return any(0 in core.pus for core in cores)
