"""Which policy divides: cores, n and a wish come in; shares, their policy and its reason go out. Pure."""

from __future__ import annotations

from typing import Literal

from affinity.division import Share
from affinity.errors import PartitionError
from affinity.fitting import exact, most_slots
from affinity.policies import balanced, local, oversubscribed
from affinity.topology import Core, Topology

Policy = Literal["auto", "balanced", "local"]
Chosen = Literal["balanced", "local", "oversubscribed"]
Picked = tuple[list[Share], Chosen, str]


def picked(topology: Topology, cores: tuple[Core, ...], n: int, policy: Policy, size: int | None) -> Picked:
    """The shares of n slots, of exactly ``size`` cores each if that is not None."""
    if size is not None:
        return _sized(topology, cores, n, policy, size)
    if n > len(cores):
        reason = f"{n} slots share {len(cores)} cores, {n // len(cores)} to {-(-n // len(cores))} on each."
        return oversubscribed(cores, n), "oversubscribed", reason
    if policy == "balanced":
        return balanced(topology, cores, n), "balanced", "balanced was asked for."
    if policy == "local":
        return local(topology, cores, n), "local", "local was asked for."
    return _automatic(topology, cores, n)


def _automatic(topology: Topology, cores: tuple[Core, ...], n: int) -> Picked:
    even = balanced(topology, cores, n)
    crossing = crossings(even)
    if crossing == 0:
        return even, "balanced", "balanced, because it crosses no NUMA node."
    near = local(topology, cores, n)
    kept = crossings(near)
    if crossing <= kept:
        return even, "balanced", f"balanced, because local would cross as many NUMA nodes ({kept})."
    small, large = max(extremes(near), key=lambda pair: pair[1] / pair[0])
    sizes = f"{small} to {large} cores a slot" if small != large else f"{small} cores a slot"
    if large <= 2 * small:
        return (
            near,
            "local",
            f"local, because balance would cross {crossing} NUMA nodes, not {kept} ({sizes}).",
        )
    return even, "balanced", f"balanced, though it crosses {crossing} NUMA nodes: local would give {sizes}."


def _sized(topology: Topology, cores: tuple[Core, ...], n: int, policy: Policy, size: int) -> Picked:
    """Equal slots are balanced; the policies differ in what may cross, and so in how many fit."""
    asked = f"slots of {size} core{'s' * (size > 1)} each were asked for"
    if policy == "local":
        return exact(topology, cores, n, size, "local"), "local", f"local, and {asked}."
    shares = exact(topology, cores, n, size, "balanced")
    crossing = crossings(shares)
    if policy == "auto" and crossing and n <= most_slots(topology, cores, size, "local"):
        near = exact(topology, cores, n, size, "local")
        if crossings(near) < crossing:
            return near, "local", f"local, as it crosses fewer NUMA nodes; {asked}."
    return shares, "balanced", f"balanced, as {asked}."


def require_room(
    topology: Topology, cores: tuple[Core, ...], n: int, policy: str, size: int, allowed: str
) -> None:
    """Refuse more slots of that size than fit."""
    most = most_slots(topology, cores, size, policy)
    if n <= most:
        return
    kinds = len({core.kind for core in cores})
    where = " of one kind" if kinds > 1 else ""
    inside = " without crossing NUMA nodes" if policy == "local" else ""
    raise PartitionError(
        f"{n} slots of {size} cores{where} need {n * size}{inside}; this process may use {len(cores)} "
        f"({allowed}), where {most or 'none'} such fit{'s' * (most == 1)}. Lower n_parallels (auto takes as "
        "many as fit) or --cores-per-slot (cores_per_slot=)."
    )


def crossings(shares: list[Share]) -> int:
    """Σ over shares of (NUMA nodes - 1)."""
    return sum(len({core.numa_node for core in share}) - 1 for share in shares)


def extremes(shares: list[Share]) -> list[tuple[int, int]]:
    """The cores of the smallest and of the largest share of each kind."""
    sizes: dict[int, list[int]] = {}
    for share in shares:
        sizes.setdefault(share[0].kind, []).append(len(share))
    return [(min(of_kind), max(of_kind)) for of_kind in sizes.values()]
