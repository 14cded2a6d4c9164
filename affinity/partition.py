"""Dividing a machine: a Topology, an Allowance and a number come in, a Partition goes out. Pure.

With A the allowed PUs, C the number of cores that have any, Q the CPU quota (∞ without one), C_k the allowed
cores of NUMA node k, K the number of nodes that have any:

1.  Slots are non-empty subsets of A, disjoint while n ≤ C, and their union is A.
2.  While n ≤ C, all allowed siblings of a core are in one slot.
3.  *balanced*: every slot has ⌊C/n⌋ cores or one more; exactly C mod n have one more.
4.  *local*: n ≥ K: node k gets slots by largest remainder of n·C_k/C, at least one; their sizes differ by at
    most one inside a node; no slot crosses. n < K: whole nodes, ⌊K/n⌋ or one more a slot, near ones together.
5.  Among equals: fewest crossings (Σ nodes - 1), then fewest LLC splits (Σ LLCs - 1).
6.  n > C only with ``oversubscribe``: processes per core differ by at most one, idle siblings are used first,
    every slot has one thread, and there is a warning.
7.  threads = max(1, min(cores of the slot, ⌊Q/n⌋)); a warning when n > Q.
9.  Memory nodes: the slot's nodes that have memory and are allowed, else the nearest such.
10. Core kinds: slots by largest remainder of n·(cores of the kind)/C, at least one; rules 1 to 5 hold inside
    each kind. n < kinds: the fastest cores alone; the others belong to nobody (a warning says so).
11. Same machine and n, same answer; renumbered CPUs give the same division up to isomorphism.

*auto* takes balanced when it crosses no more than local; else local, if its largest slot has at most twice
the cores of its smallest (inside a kind); else balanced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from affinity.allowance import Allowance
from affinity.cpuset import format_list
from affinity.division import Share, group_by
from affinity.errors import PartitionError
from affinity.policies import balanced, kinds_used, local, oversubscribed
from affinity.slots import Partition, Slot
from affinity.topology import Core, Topology

Policy = Literal["auto", "balanced", "local"]
_MOST_PER_CORE = 256  # slots, when oversubscribed: more is a slip of the keyboard
Chosen = Literal["balanced", "local", "oversubscribed"]
MemoryFinder = Callable[[tuple[int, ...]], tuple[int, ...]]

__all__ = ["Partition", "Policy", "Slot", "partition"]


def partition(
    topology: Topology,
    allowance: Allowance,
    n_slots: int,
    *,
    policy: Policy = "auto",
    oversubscribe: bool = False,
) -> Partition:
    """The allowed part of the machine in ``n_slots`` slots, by the rules at the head of this module.

    Raises PartitionError for n < 1, for n > C without ``oversubscribe``, for n > 256 C, and for an unknown
    policy.
    """
    cores = topology.cores_within(allowance.pus)
    _check(cores, allowance, n_slots, policy, oversubscribe)
    shares, chosen, reason = _divide(topology, cores, n_slots, policy)
    shares.sort(key=lambda share: min(core.pus[0] for core in share))
    memory = _memory_finder(topology, allowance)
    most = None if allowance.quota_cpus is None else int(allowance.quota_cpus // n_slots)
    slots = tuple(_slot(topology, memory, index, share, most, chosen) for index, share in enumerate(shares))
    return Partition(
        slots=slots,
        policy=chosen,
        reason=reason,
        warnings=tuple(_warnings(cores, allowance, n_slots)),
        crossings=_crossings(shares),
        llc_splits=sum(len({core.llc for core in share}) - 1 for share in shares),
        imbalance=max(large - small for small, large in _extremes(shares)),
    )


def _check(cores: tuple[Core, ...], allowance: Allowance, n: int, policy: str, oversubscribe: bool) -> None:
    if policy not in ("auto", "balanced", "local"):
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


def _divide(
    topology: Topology, cores: tuple[Core, ...], n: int, policy: Policy
) -> tuple[list[Share], Chosen, str]:
    if n > len(cores):
        reason = f"{n} slots share {len(cores)} cores, {n // len(cores)} to {-(-n // len(cores))} on each."
        return oversubscribed(cores, n), "oversubscribed", reason
    if policy == "balanced":
        return balanced(topology, cores, n), "balanced", "balanced was asked for."
    if policy == "local":
        return local(topology, cores, n), "local", "local was asked for."
    return _automatic(topology, cores, n)


def _automatic(topology: Topology, cores: tuple[Core, ...], n: int) -> tuple[list[Share], Chosen, str]:
    even = balanced(topology, cores, n)
    crossing = _crossings(even)
    if crossing == 0:
        return even, "balanced", "balanced, because it crosses no NUMA node."
    near = local(topology, cores, n)
    kept = _crossings(near)
    if crossing <= kept:
        return even, "balanced", f"balanced, because local would cross as many NUMA nodes ({kept})."
    small, large = max(_extremes(near), key=lambda pair: pair[1] / pair[0])
    sizes = f"{small} to {large} cores a slot" if small != large else f"{small} cores a slot"
    if large <= 2 * small:
        return (
            near,
            "local",
            f"local, because balance would cross {crossing} NUMA nodes, not {kept} ({sizes}).",
        )
    return even, "balanced", f"balanced, though it crosses {crossing} NUMA nodes: local would give {sizes}."


def _crossings(shares: list[Share]) -> int:
    return sum(len({core.numa_node for core in share}) - 1 for share in shares)


def _extremes(shares: list[Share]) -> list[tuple[int, int]]:
    """The cores of the smallest and of the largest share of each kind."""
    sizes: dict[int, list[int]] = {}
    for share in shares:
        sizes.setdefault(share[0].kind, []).append(len(share))
    return [(min(of_kind), max(of_kind)) for of_kind in sizes.values()]


def _slot(
    topology: Topology, memory: MemoryFinder, index: int, share: Share, quota: int | None, chosen: Chosen
) -> Slot:
    nodes = tuple(sorted({core.numa_node for core in share}))
    most = 1 if chosen == "oversubscribed" else len(share)
    threads = max(1, most if quota is None else min(most, quota))
    return Slot(
        index=index,
        pus=tuple(sorted(pu for core in share for pu in core.pus)),
        cores=tuple(sorted(core.index for core in share)),
        numa_nodes=nodes,
        memory_nodes=memory(nodes),
        llcs=tuple(sorted({core.llc for core in share})),
        threads=threads,
        why=_why(topology, share, nodes, threads, most, chosen),
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


def _why(
    topology: Topology, share: Share, nodes: tuple[int, ...], threads: int, most: int, chosen: Chosen
) -> str:
    count = f"{len(share)} core{'s' * (len(share) > 1)}"
    if chosen == "oversubscribed":
        count = f"shares core {share[0].index}"
    kinds = [kind.name for kind in topology.kinds if kind.index == share[0].kind and kind.name != "any"]
    place = f"across NUMA nodes {format_list(nodes)}" if len(nodes) > 1 else f"in NUMA node {nodes[0]}"
    llcs = sorted({core.llc for core in share})
    cache = f"{len(llcs)} LLCs" if len(llcs) > 1 else f"LLC {llcs[0]}"
    cut = f", threads cut from {most} to {threads} by the CPU quota" if threads < most else ""
    return " ".join([count, *kinds, place]) + f", {cache}{cut}"


def _warnings(cores: tuple[Core, ...], allowance: Allowance, n: int) -> list[str]:
    found = []
    quota = allowance.quota_cpus
    if n > len(cores):
        found.append(f"{n} slots share {len(cores)} cores: one thread each, and they slow each other down.")
    if quota is not None and n > quota:
        found.append(f"{n} slots share a CPU quota of {quota:g} CPUs: each will be throttled below one CPU.")
    idle = len(cores) - sum(map(len, kinds_used(cores, n)))
    if idle:
        kinds = len(group_by(cores, lambda core: core.kind))
        found.append(f"{n} slots on {kinds} kinds of cores: {idle} slower cores stay idle.")
    return found
