"""The three ways to share cores out: cores and n come in, n shares go out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import add, sub

from affinity.division import Share, apportion, cut, group_by, in_line, shape_of
from affinity.ranks import distances, ranks
from affinity.topology import Core, Topology

Divide = Callable[[Topology, Sequence[Core], int], list[Share]]


def balanced(topology: Topology, cores: Sequence[Core], n: int) -> list[Share]:
    """Shares of ⌊C/n⌋ cores or one more (exactly C mod n), inside each core kind."""
    return _inside_kinds(lambda _topology, members, seats: cut(members, seats), topology, cores, n)


def local(topology: Topology, cores: Sequence[Core], n: int) -> list[Share]:
    """Shares that stay inside a NUMA node, or are whole nodes when there are fewer shares than nodes."""
    return _inside_kinds(_local, topology, cores, n)


def kinds_used(cores: Sequence[Core], n: int) -> list[list[Core]]:
    """The cores of each kind that n shares use, fastest first: all kinds if n ≥ kinds.

    Otherwise the fastest alone, and slower ones only as far as it has fewer cores than shares are wanted.
    """
    kinds = sorted(group_by(cores, lambda core: core.kind), key=lambda kind: kind[0].kind)
    if n >= len(kinds):
        return kinds
    return next(kinds[:end] for end in range(1, len(kinds)) if sum(map(len, kinds[:end])) >= n)


def _inside_kinds(divide: Divide, topology: Topology, cores: Sequence[Core], n: int) -> list[Share]:
    kinds = kinds_used(cores, n)
    seats = apportion(n, [len(kind) for kind in kinds])
    return [
        share for kind, count in zip(kinds, seats, strict=True) for share in divide(topology, kind, count)
    ]


def _local(topology: Topology, cores: Sequence[Core], n: int) -> list[Share]:
    nodes = group_by(in_line(cores), lambda core: core.numa_node)
    if n < len(nodes):
        return whole_nodes(topology, nodes, n)
    seats = apportion(n, [len(node) for node in nodes])
    return [share for node, count in zip(nodes, seats, strict=True) for share in cut(node, count)]


def whole_nodes(topology: Topology, nodes: list[list[Core]], n: int) -> list[Share]:
    """n groups of ⌊K/n⌋ nodes or one more: the remotest node left, then the nearest to the group, ...

    Among equally near ones the rank in the machine decides, and the lowest PU only among those of one rank.
    """
    size, extra = divmod(len(nodes), n)
    apart = distances(topology, nodes)
    rank = ranks([shape_of(node) for node in nodes], apart)
    remote = [sum(row) for row in apart]
    left, shares = list(range(len(nodes))), []
    for made in range(n):
        group: list[int] = []
        near = [-far for far in remote]
        while len(group) < size + (made < extra):
            place = min(left, key=list(zip(near, rank, strict=True)).__getitem__)
            left.remove(place)
            to_it = [row[place] for row in apart]
            near = list(map(add, near, to_it)) if group else to_it
            remote = list(map(sub, remote, to_it))
            group.append(place)
        shares.append(tuple(core for place in group for core in nodes[place]))
    return shares


def oversubscribed(cores: Sequence[Core], n: int) -> list[Share]:
    """n > C shares of one core each, as parts of cores: processes per core differ by at most one.

    The extra ones go to cores with an idle sibling first, spread over the nodes. The sharers of a core divide
    its PUs; when it has fewer PUs than sharers, they take turns.
    """
    line = in_line(cores)
    each, extra = divmod(n, len(line))
    rank = {
        core.index: place
        for node in group_by(line, lambda core: core.numa_node)
        for place, core in enumerate(node)
    }
    first = sorted(line, key=lambda core: (len(core.pus) <= each, rank[core.index]))
    lucky = {core.index for core in first[:extra]}
    return [share for core in line for share in _sharers(core, each + (core.index in lucky))]


def _sharers(core: Core, count: int) -> list[Share]:
    def part(place: int) -> Core:
        pus = core.pus[place % len(core.pus) :: count]
        return Core(core.index, pus, core.package, core.numa_node, core.llc, core.kind)

    return [(part(place),) for place in range(count)]
