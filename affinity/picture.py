"""A machine and who gets what of it, as a picture: a Topology and its PUs' owners come in, boxes go out.

Packages hold NUMA nodes, these LLCs, these cores; what holds one thing alone shares its box.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from affinity.boxes import Block, boxed, columns, flow
from affinity.cells import Cells, legend, marks_of
from affinity.slots import Partition
from affinity.topology import Core, NumaNode, Topology


@dataclass(frozen=True, slots=True)
class _Part:
    """A box: what it is called and what is in it, smaller parts or cores."""

    title: str
    parts: tuple[_Part, ...]
    cores: tuple[Core, ...] = ()


def draw(
    topology: Topology,
    allowed: Collection[int],
    chosen: Collection[int],
    divided: Partition | None,
    width: int = 80,
) -> Block:
    """The machine in at most ``width`` columns, as far as its parts let it, and a legend of the signs.

    ``allowed`` are the PUs that this process may use, ``chosen`` those of them that were to be divided.
    """
    marks = marks_of(topology, frozenset(allowed), frozenset(chosen), divided)
    cells = Cells(topology, marks)
    boxes = flow((_box(_merged(part), cells, width) for part in _machine(topology)), width)
    return (*boxes, *flow(legend(topology, marks, divided), width, gap=3))


def _machine(topology: Topology) -> Iterator[_Part]:
    """Packages of nodes, or nodes of packages where a node has several; then memory without cores."""
    by_package, by_node = _grouped(topology.cores, _package), _grouped(topology.cores, _node)
    are_nodes_outer = _hold_several(by_node, _package) and not _hold_several(by_package, _node)
    outer, inner = (_NODES, _PACKAGES) if are_nodes_outer else (_PACKAGES, _NODES)
    for cores in _grouped(topology.cores, outer.place):
        parts = (
            _Part(inner.title(topology, here), tuple(_caches(topology, here)))
            for here in _grouped(cores, inner.place)
        )
        yield _Part(outer.title(topology, cores), tuple(parts))
    bare = {node.os_index for node in topology.numa_nodes} - set(map(_node, topology.cores))
    yield from (_Part(_memory_title(topology.node(index)), ()) for index in sorted(bare))


def _package(core: Core) -> int:
    return core.package


def _node(core: Core) -> int:
    return core.numa_node


def _hold_several(groups: list[tuple[Core, ...]], place: Callable[[Core], int]) -> bool:
    return any(len(set(map(place, cores))) > 1 for cores in groups)


def _package_title(topology: Topology, cores: tuple[Core, ...]) -> str:
    return "Package" if cores[0].package < 0 else f"Package {cores[0].package}"


def _node_title(topology: Topology, cores: tuple[Core, ...]) -> str:
    node = topology.node(cores[0].numa_node)
    return f"{_part_of(node.pus, cores)}{_memory_title(node)}"


def _memory_title(node: NumaNode) -> str:
    size = "" if node.memory_mib is None else _size(node.memory_mib * 1024)
    return _titled(f"NUMA node {node.os_index}", size)


class _Level(NamedTuple):
    """Where a core belongs, and what that place is called."""

    place: Callable[[Core], int]
    title: Callable[[Topology, tuple[Core, ...]], str]


_PACKAGES, _NODES = _Level(_package, _package_title), _Level(_node, _node_title)


def _caches(topology: Topology, cores: tuple[Core, ...]) -> Iterator[_Part]:
    groups = _grouped(cores, lambda core: core.llc)
    for here in groups:
        cache = topology.llcs[here[0].llc]
        is_known = cache.size_kib is not None or len(groups) > 1  # else it stands for the whole node
        name = _titled(f"{_part_of(cache.pus, here)}LLC {cache.index}", _size(cache.size_kib))
        yield _Part(name if is_known else "", (), here)


def _grouped(cores: Iterable[Core], place: Callable[[Core], int]) -> list[tuple[Core, ...]]:
    """Cores by place, places in the order of their first core."""
    found: dict[int, list[Core]] = {}
    for core in cores:
        found.setdefault(place(core), []).append(core)
    return list(map(tuple, found.values()))


def _part_of(pus: tuple[int, ...], cores: tuple[Core, ...]) -> str:
    """For the name of what has more PUs than these cores: nodes and caches may lie across packages."""
    return "part of " * (len(pus) > sum(len(core.pus) for core in cores))


def _titled(name: str, size: str) -> str:
    return f"{name} · {size}" if size else name


def _size(kib: int | None) -> str:
    """Three digits and a unit; '' when it is not known."""
    if kib is None:
        return ""
    size, unit = float(kib), "KiB"
    for larger in ("MiB", "GiB", "TiB"):
        if size >= 1000:
            size, unit = size / 1024, larger
    return f"{size:.3g} {unit}"


def _merged(part: _Part) -> _Part:
    """One box for a part that holds one other alone."""
    if len(part.parts) == 1:
        inner = _merged(part.parts[0])
        return _Part(" · ".join(filter(None, (part.title, inner.title))), inner.parts, inner.cores)
    return _Part(part.title, tuple(map(_merged, part.parts)), part.cores)


def _box(part: _Part, cells: Cells, width: int) -> Block:
    room = width - 4
    if part.cores:
        inside = columns([(cell,) for cell in cells.of(part.cores)], room, cells.width)
    else:
        inside = flow((_box(one, cells, room) for one in part.parts), room)
    return boxed(part.title, inside, width)
