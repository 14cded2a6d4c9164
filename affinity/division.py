"""Cutting cores into shares: cores come in, lists of cores go out. Pure; knows no policy, quota or memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import islice, permutations
from typing import Any

from affinity.topology import Core

Share = tuple[Core, ...]

_CROSSING = 1 << 20
"""What a NUMA crossing costs in LLC splits: more than a machine has."""

_MOST_ORDERS = 24
_MOST_STEPS = 4000
_MOST_LOOKS = 1000
"""Bounds the search over orders of uneven nodes and LLCs to a few milliseconds."""


def apportion(n: int, sizes: Sequence[int], most: Sequence[int] | None = None) -> list[int]:
    """n seats by largest remainder of n·size/Σsizes, at least one and at most ``most`` (``size``) each.

    Needs len(sizes) ≤ n ≤ Σ most. Ties go to the earlier one. Where «at least one» gave away too many,
    they are taken back from those furthest above their quota.
    """
    total = sum(sizes)
    most = sizes if most is None else most
    seats = [min(limit, max(1, n * size // total)) for size, limit in zip(sizes, most, strict=True)]

    def owed(place: int) -> tuple[int, int]:
        return n * sizes[place] - seats[place] * total, -place

    while sum(seats) < n:
        seats[max((i for i in range(len(sizes)) if seats[i] < most[i]), key=owed)] += 1
    while sum(seats) > n:
        seats[min((i for i in range(len(sizes)) if seats[i] > 1), key=owed)] -= 1
    return seats


def in_line(cores: Iterable[Core]) -> list[Core]:
    """The cores in an order where neighbours share as much of the machine as possible.

    Groups (packages, nodes, LLCs, the coarsest first) of equal shape are sorted by their lowest PU, others by
    shape, larger first: so the shares that are cut from it do not depend on how CPUs are numbered.
    """
    members = list(cores)
    levels = sorted(_LEVELS, key=lambda level: len({level(core) for core in members}))
    return _arranged(members, levels)[1]


_LEVELS: tuple[Callable[[Core], int], ...] = (
    lambda core: core.package,
    lambda core: core.numa_node,
    lambda core: core.llc,
)


def shape_of(cores: Iterable[Core]) -> Any:
    """What groups of equal shape (packages, nodes, LLCs and cores of the same sizes) have in common.

    Sorts with the larger first.
    """
    return _arranged(list(cores), _LEVELS)[0]


def _arranged(cores: list[Core], levels: Sequence[Callable[[Core], int]]) -> tuple[Any, list[Core]]:
    if not levels:
        ordered = sorted(cores, key=lambda core: (-len(core.pus), core.pus[0]))
        return (-len(ordered), tuple(-len(core.pus) for core in ordered)), ordered
    parts = [_arranged(group, levels[1:]) for group in group_by(cores, levels[0])]
    parts.sort(key=lambda part: (part[0], min(core.pus[0] for core in part[1])))
    return (-len(cores), tuple(part[0] for part in parts)), [core for part in parts for core in part[1]]


def group_by(cores: Iterable[Core], key: Callable[[Core], int]) -> list[list[Core]]:
    """The cores grouped by key, groups and members in order of first appearance."""
    groups: dict[int, list[Core]] = {}
    for core in cores:
        groups.setdefault(key(core), []).append(core)
    return list(groups.values())


def cut(cores: Iterable[Core], n: int) -> list[Share]:
    """n shares of ⌊C/n⌋ cores or one more, exactly C mod n with one more; 1 ≤ n ≤ C.

    Among those, the fewest NUMA crossings, then the fewest LLC splits over all cuts of each order tried:
    cores in line, and for uneven nodes or LLCs other orders of nodes (inside one node: of LLCs), and in
    every second node the LLCs the other way round. For equal nodes the crossings are the minimum: nodes -
    groups of nodes that shares fill exactly.
    """
    line = in_line(cores)
    best_cost, best = _cut_line(line, n)
    for order in _other_orders(line, n):
        if best_cost == 0:
            break
        cost, shares = _cut_line(order, n)
        if cost < best_cost:
            best_cost, best = cost, shares
    return best


def _other_orders(line: list[Core], n: int) -> Iterator[list[Core]]:
    blocks = [_llcs(node) for node in group_by(line, lambda core: core.numa_node)]
    if len(blocks) == 1:
        blocks = [[llc] for llc in blocks[0]]
    extra = len(line) % n
    tries = min(_MOST_ORDERS, max(1, _MOST_STEPS // ((n - extra + 1) * (extra + 1) + len(line))))
    ahead = [tuple(map(len, block)) for block in blocks]
    sides = (ahead, [shape[::-1] for shape in ahead])
    seen = {tuple(ahead)}
    if len({*sides[0], *sides[1]}) == 1:
        return  # all alike from both sides: every order is the same
    for order in islice(_promising(list(map(sum, ahead)), len(line) // n), _MOST_LOOKS):
        for turns in _turns(len(order)):
            if len(seen) > tries:
                return
            shape = tuple(sides[turn][place] for turn, place in zip(turns, order, strict=True))
            if shape not in seen:
                seen.add(shape)
                yield _in_order(blocks, order, turns)


def _in_order(blocks: list[list[list[Core]]], order: Sequence[int], turns: Sequence[bool]) -> list[Core]:
    """The cores of the blocks in this order, the LLCs of those that are turned the other way round."""
    turned = (
        blocks[place][::-1] if turn else blocks[place] for place, turn in zip(order, turns, strict=True)
    )
    return [core for block in turned for llc in block for core in llc]


def _llcs(cores: Iterable[Core]) -> list[list[Core]]:
    return group_by(cores, lambda core: core.llc)


@cache
def _turns(n: int) -> tuple[tuple[bool, ...], ...]:
    """Which of n blocks are turned: none; then every second one, so that small LLCs meet."""
    return (
        (False,) * n,
        tuple(place % 2 == 1 for place in range(n)),
        tuple(place % 2 == 0 for place in range(n)),
    )


def _promising(sizes: list[int], share: int) -> Iterator[tuple[int, ...]]:
    """Blocks that shares fill exactly, then the others, large and small in turns; every order of a few."""
    exact = [place for place, size in enumerate(sizes) if size % share == 0]
    others = sorted(set(range(len(sizes))) - set(exact), key=lambda place: (sizes[place], place))
    turns = [others[step // 2] if step % 2 else others[-1 - step // 2] for step in range(len(others))]
    yield (*exact, *turns)
    if len(sizes) <= 8:
        yield from permutations(range(len(sizes)))


def _cut_line(line: list[Core], n: int) -> tuple[int, list[Share]]:
    """The cheapest cut of this order: a shortest path over (shares made, larger ones among them)."""
    size, extra = divmod(len(line), n)
    small, big = _prices(line, size), _prices(line, size + 1)
    costs = {0: 0}  # larger shares so far: cost
    choices: list[dict[int, bool]] = []
    for made in range(n):
        reached: dict[int, int] = {}
        chosen: dict[int, bool] = {}
        for larger, cost in costs.items():
            start = made * size + larger
            if larger < extra:  # a larger share first, so that it wins ties
                with_big = cost + big[start]
                if with_big <= reached.get(larger + 1, with_big):
                    reached[larger + 1], chosen[larger + 1] = with_big, True
            if extra - larger < n - made:
                with_small = cost + small[start]
                if with_small < reached.get(larger, with_small + 1):
                    reached[larger], chosen[larger] = with_small, False
        costs = reached
        choices.append(chosen)
    return costs[extra], _walk_back(line, size, extra, choices)


def _walk_back(line: list[Core], size: int, larger: int, choices: list[dict[int, bool]]) -> list[Share]:
    end = len(line)
    shares = []
    for chosen in reversed(choices):
        big = chosen[larger]
        start = end - size - big
        shares.append(tuple(line[start:end]))
        end, larger = start, larger - big
    return shares[::-1]


def _prices(line: list[Core], size: int) -> list[int]:
    """What a share of that size costs from each place of the line on."""
    nodes = [core.numa_node for core in line]
    llcs = [core.llc for core in line]
    if len(set(llcs)) == 1 == len(set(nodes)):
        return [0] * len(line)
    ends = range(size, len(line) + 1)
    return [
        (len(set(nodes[end - size : end])) - 1) * _CROSSING + len(set(llcs[end - size : end])) - 1
        for end in ends
    ]
