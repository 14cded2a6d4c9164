"""Dividing a machine: a Topology, an Allowance and a number come in, a Partition goes out. Pure.

With A the allowed PUs, C the number of cores that have any, Q the CPU quota (∞ without one), C_k the allowed
cores of NUMA node k, K the number of nodes that have any:

1.  Slots are non-empty subsets of A, disjoint while n ≤ C, and their union is A.
2.  While n ≤ C, all allowed siblings of a core are in one slot.
3.  *balanced*: every slot has ⌊C/n⌋ cores or one more; exactly C mod n have one more.
3a. With ``cores_per_slot`` K every slot has exactly K cores; the others are idle, and a warning says which.
4.  *local*: n ≥ K: node k gets slots by largest remainder of n·C_k/C, at least one; their sizes differ by at
    most one inside a node; no slot crosses. n < K: whole nodes, ⌊K/n⌋ or one more a slot, near ones together.
    (Of slots of a given size only as many as fit so; larger than any node, they are of whole near nodes.)
5.  Among equals: fewest crossings (Σ nodes - 1), then fewest LLC splits (Σ LLCs - 1).
6.  n > C only with ``oversubscribe``: processes per core differ by at most one, idle siblings are used first,
    every slot has one thread, and there is a warning.
7.  threads = max(1, min(cores of the slot, or its PUs if that is asked for, ⌊Q/n⌋)); a warning when n > Q.
9.  Memory nodes: the slot's nodes that have memory and are allowed, else the nearest such.
10. Core kinds: slots by largest remainder of n·(cores of the kind)/C, at least one; rules 1 to 5 hold inside
    each kind. n < kinds: the fastest cores alone; the others belong to nobody (a warning says so).
11. Same machine and n, same answer; renumbered CPUs give the same division up to isomorphism.

*auto* takes balanced when it crosses no more than local; else local, if its largest slot has at most twice
the cores of its smallest (inside a kind); else balanced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from affinity.allowance import Allowance
from affinity.cpuset import format_list
from affinity.division import Share, group_by
from affinity.errors import PartitionError
from affinity.picking import Chosen, Policy, crossings, extremes, picked, require_room
from affinity.slots import Partition, Slot
from affinity.topology import Core, Topology

_MOST_PER_CORE = 256  # slots, when oversubscribed: more is a slip of the keyboard
ThreadsPer = Literal["core", "pu"]
MemoryFinder = Callable[[tuple[int, ...]], tuple[int, ...]]

__all__ = ["Partition", "Policy", "Slot", "partition"]


def partition(
    topology: Topology,
    allowance: Allowance,
    n_slots: int,
    *,
    policy: Policy = "auto",
    oversubscribe: bool = False,
    cores_per_slot: int | None = None,
    threads_per: ThreadsPer = "core",
) -> Partition:
    """The allowed part of the machine in ``n_slots`` slots, by the rules at the head of this module.

    Raises PartitionError for n < 1, for n > C without ``oversubscribe``, for n > 256 C, for more slots of
    ``cores_per_slot`` cores than fit, and for an unknown policy. ``threads_per``: a slot computes with a
    thread for each of its cores, or for each PU.
    """
    cores = topology.cores_within(allowance.pus)
    _check(cores, allowance, n_slots, policy, oversubscribe or cores_per_slot is not None)
    if cores_per_slot is not None:
        require_room(topology, cores, n_slots, policy, cores_per_slot, format_list(allowance.pus))
    shares, chosen, reason = picked(topology, cores, n_slots, policy, cores_per_slot)
    shares.sort(key=lambda share: min(core.pus[0] for core in share))
    memory = _memory_finder(topology, allowance)
    quota = None if allowance.quota_cpus is None else int(allowance.quota_cpus // n_slots)
    slots = tuple(
        _slot(topology, memory, index, share, _most_threads(share, chosen, threads_per), quota)
        for index, share in enumerate(shares)
    )
    used = {core.index for share in shares for core in share}
    idle = [core for core in cores if core.index not in used]
    return Partition(
        slots=slots,
        policy=chosen,
        reason=reason,
        warnings=tuple(_warnings(cores, idle, allowance, n_slots, cores_per_slot)),
        crossings=crossings(shares),
        llc_splits=sum(len({core.llc for core in share}) - 1 for share in shares),
        imbalance=max(large - small for small, large in extremes(shares)),
        idle_pus=tuple(sorted(pu for core in idle for pu in core.pus)),
    )


def _check(cores: tuple[Core, ...], allowance: Allowance, n: int, policy: str, oversubscribe: bool) -> None:
    if policy not in get_args(Policy):
        raise PartitionError(f"{policy!r} is no policy; there are 'auto', 'balanced' and 'local'.")
    if n < 1:
        raise PartitionError(f"{n} slots cannot be; ask for 1 or more.")
    if not cores:
        raise PartitionError(
            "This process may use no PU of this machine; check the reserved PUs and the cpuset."
        )
    if n > len(cores) and not oversubscribe:
        raise PartitionError(
            f"{n} slots need {n} cores; this process may use {len(cores)} ({format_list(allowance.pus)}). "
            "Lower n_parallels or ask for more CPUs, or pass --oversubscribe (oversubscribe=True)."
        )
    if n > _MOST_PER_CORE * len(cores):
        raise PartitionError(
            f"{n} slots are more than {_MOST_PER_CORE} on each of {len(cores)} cores, which nobody can mean; "
            "lower n_parallels."
        )


def _most_threads(share: Share, chosen: Chosen, threads_per: ThreadsPer) -> int | None:
    """With how many threads a slot computes, but for a quota; None: one, on a core that is shared."""
    if chosen == "oversubscribed":
        return None
    return len(share) if threads_per == "core" else sum(len(core.pus) for core in share)


def _slot(
    topology: Topology, memory: MemoryFinder, index: int, share: Share, wanted: int | None, quota: int | None
) -> Slot:
    nodes = tuple(sorted({core.numa_node for core in share}))
    most = wanted or 1
    threads = max(1, most if quota is None else min(most, quota))
    return Slot(
        index=index,
        pus=tuple(sorted(pu for core in share for pu in core.pus)),
        cores=tuple(sorted(core.index for core in share)),
        numa_nodes=nodes,
        memory_nodes=memory(nodes),
        llcs=tuple(sorted({core.llc for core in share})),
        threads=threads,
        why=_why(topology, share, nodes, threads, wanted),
    )


def _memory_finder(topology: Topology, allowance: Allowance) -> MemoryFinder:
    """Rule 9 as a function from a slot's nodes to its memory nodes; () where no memory is allowed at all."""
    allowed = set(allowance.memory_nodes)
    usable = {
        node.os_index: place
        for place, node in enumerate(topology.numa_nodes)
        if node.memory_mib != 0 and node.os_index in allowed
    }
    distances = {node.os_index: node.distances for node in topology.numa_nodes}

    def find(nodes: tuple[int, ...]) -> tuple[int, ...]:
        own = tuple(number for number in nodes if number in usable)
        if own or not usable:
            return own
        rows = [distances[number] for number in nodes]
        far = {number: min(row[place] if row else 0 for row in rows) for number, place in usable.items()}
        return (min(far, key=lambda number: (far[number], number)),)

    return find


def _why(topology: Topology, share: Share, nodes: tuple[int, ...], threads: int, wanted: int | None) -> str:
    most = wanted or 1
    count = f"{len(share)} core{'s' * (len(share) > 1)}"
    if wanted is None:
        count = f"shares core {share[0].index}"
    kinds = [kind.name for kind in topology.kinds if kind.index == share[0].kind and kind.name != "any"]
    place = f"across NUMA nodes {format_list(nodes)}" if len(nodes) > 1 else f"in NUMA node {nodes[0]}"
    llcs = sorted({core.llc for core in share})
    cache = f"{len(llcs)} LLCs" if len(llcs) > 1 else f"LLC {llcs[0]}"
    cut = f", threads cut from {most} to {threads} by the CPU quota" if threads < most else ""
    return " ".join([count, *kinds, place]) + f", {cache}{cut}"


def _warnings(
    cores: tuple[Core, ...], idle: list[Core], allowance: Allowance, n: int, size: int | None
) -> list[str]:
    found = []
    quota = allowance.quota_cpus
    if n > len(cores):
        found.append(f"{n} slots share {len(cores)} cores: one thread each, and they slow each other down.")
    if quota is not None and n > quota:
        found.append(f"{n} slots share a CPU quota of {quota:g} CPUs: each will be throttled below one CPU.")
    if idle and size is None:
        kinds = len(group_by(cores, lambda core: core.kind))
        found.append(f"{n} slots on {kinds} kinds of cores: {len(idle)} slower cores stay idle.")
    elif idle:
        pus = format_list(pu for core in idle for pu in core.pus)
        slots = f"{n} slot{'s' * (n > 1)} of {size} core{'s' * (size != 1)}"
        found.append(
            f"{len(idle)} of {len(cores)} cores stay{'s' * (len(idle) == 1)} idle (PUs {pus}): {slots}."
        )
    return found
