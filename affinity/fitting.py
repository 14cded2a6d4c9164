"""Slots of exactly so many cores: cores, n and a size come in, n such shares go out; the rest is idle.

Which cores stay idle decides what the slots cost. Each package, node and LLC gives whole slots as far as it
can, in turns by their sizes; only what is left over is put together across them. So

- while all slots fit inside NUMA nodes, none crosses; while all fit inside LLCs, none splits one;
- slots are spread: two on a machine of two nodes are one on each, with that node's memory to itself;
- of equally good cores that of CPU 0 is the last to be used (see ``affinity.selection``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from affinity.division import Share, apportion, cut, group_by, in_line, shape_of
from affinity.policies import whole_nodes
from affinity.topology import Core, Topology

Level = Callable[[Core], int]


def most_slots(topology: Topology, cores: Sequence[Core], size: int | None, policy: str) -> int:
    """How many slots of ``size`` cores fit (None: of one core each); slots do not mix kinds of cores.

    ``local`` ones are inside a NUMA node, or of whole near nodes where no node has so many cores.
    """
    if size is None:
        return len(cores)
    return sum(_most(topology, kind, size, policy) for kind in _kinds(cores))


def _most(topology: Topology, cores: Sequence[Core], size: int, policy: str) -> int:
    nodes = group_by(cores, lambda core: core.numa_node)
    if policy != "local":
        return len(cores) // size
    if any(len(node) >= size for node in nodes):
        return sum(len(node) // size for node in nodes)
    for n in range(min(len(cores) // size, len(nodes) // 2), 0, -1):
        if _groups(topology, cores, n, size) is not None:
            return n
    return 0


def exact(topology: Topology, cores: Sequence[Core], n: int, size: int, policy: str) -> list[Share]:
    """n shares of ``size`` cores, at most as many as ``most_slots`` says.

    Core kinds get them by largest remainder, as far as they fit there, at least one; fewer slots than kinds
    that have room use the fastest ones.
    """
    kinds = [kind for kind in _kinds(cores) if _most(topology, kind, size, policy)]
    most = [_most(topology, kind, size, policy) for kind in kinds]
    if n < len(kinds):
        used = next(end for end in range(1, len(kinds)) if sum(most[:end]) >= n)
        kinds, most = kinds[:used], most[:used]
    seats = apportion(n, [len(kind) for kind in kinds], most)
    return [
        share
        for kind, count in zip(kinds, seats, strict=True)
        for share in _of_one_kind(topology, kind, count, size, policy)
    ]


def _of_one_kind(topology: Topology, cores: Sequence[Core], n: int, size: int, policy: str) -> list[Share]:
    if policy == "local" and all(len(node) < size for node in group_by(cores, lambda core: core.numa_node)):
        groups = _groups(topology, cores, n, size) or []
        return [tuple(_chosen(group, size, size)) for group in groups]
    return cut(_chosen(cores, n * size, size), n)


def _groups(topology: Topology, cores: Sequence[Core], n: int, size: int) -> Sequence[Share] | None:
    """n groups of near nodes, each of ``size`` cores or more; None where one has fewer."""
    nodes = group_by(in_line(cores), lambda core: core.numa_node)
    groups = whole_nodes(topology, nodes, n)
    return None if any(len(group) < size for group in groups) else groups


def _kinds(cores: Sequence[Core]) -> list[list[Core]]:
    return sorted(group_by(cores, lambda core: core.kind), key=lambda kind: kind[0].kind)


def _chosen(cores: Sequence[Core], count: int, size: int) -> list[Core]:
    """``count`` of these cores, such that as many slots as can be lie inside a package, node, LLC."""
    levels: list[Level] = [
        lambda core: core.package,
        lambda core: core.numa_node,
        lambda core: core.llc,
    ]
    levels.sort(key=lambda level: len({level(core) for core in cores}))  # the coarsest first
    return _taken(cores, count, size, levels)


def _taken(cores: Sequence[Core], count: int, size: int, levels: Sequence[Level]) -> list[Core]:
    if count == len(cores):
        return list(cores)
    if not levels:
        return sorted(cores, key=lambda core: (-len(core.pus), 0 in core.pus, core.pus[0]))[:count]
    groups = group_by(cores, levels[0])
    if len(groups) == 1:
        return _taken(cores, count, size, levels[1:])
    groups.sort(key=_rank)
    slots = _spread(count // size, groups, size, levels[1:])
    wanted = _with_rest([number * size for number in slots], count, [len(group) for group in groups])
    return [
        core
        for group, number in zip(groups, wanted, strict=True)
        for core in _taken(group, number, size, levels[1:])
    ]


def _rank(group: Sequence[Core]) -> tuple[object, bool, int]:
    """The larger first, that of CPU 0 the last of equals."""
    lowest = min(core.pus[0] for core in group)
    return shape_of(group), any(0 in core.pus for core in group), lowest


def _spread(n: int, groups: Sequence[Sequence[Core]], size: int, levels: Sequence[Level]) -> list[int]:
    """Up to n slots among the groups: first such as fit inside the finest parts of them, in turns by size."""
    room = [_room(group, size, levels) for group in groups]
    slots = [0] * len(groups)
    for fineness in range(len(levels) + 1):
        for _ in range(n - sum(slots)):
            free = [place for place in range(len(groups)) if slots[place] < room[place][fineness]]
            if not free:
                break
            slots[max(free, key=lambda place: (len(groups[place]) / (slots[place] + 1), -place))] += 1
    return slots


def _room(cores: Sequence[Core], size: int, levels: Sequence[Level]) -> list[int]:
    """How many slots fit inside parts of this group: of the finest level, of coarser ones, at all."""
    parts = [sum(len(part) // size for part in group_by(cores, level)) for level in reversed(levels)]
    return [*parts, len(cores) // size]


def _with_rest(wanted: list[int], count: int, sizes: Sequence[int]) -> list[int]:
    """As wanted, and what is still missing from as few groups as can be."""
    found = list(wanted)
    while (missing := count - sum(found)) > 0:
        spare = [size - taken for size, taken in zip(sizes, found, strict=True)]
        enough = [place for place, number in enumerate(spare) if number >= missing]
        if enough:
            found[min(enough, key=lambda place: (spare[place], place))] += missing
        else:
            most = max(range(len(spare)), key=lambda place: (spare[place], -place))
            found[most] += spare[most]
    return found
