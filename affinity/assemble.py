"""Facts about single cores come in, one consistent Topology goes out: numbered, sorted, nothing split.

Both readers end here, so what a Topology promises is made true in one place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from affinity.topology import Core, CoreKind, KindName, Llc, NumaNode, Package, Topology


@dataclass(frozen=True, slots=True)
class CoreFacts:
    """What a reader knows of one core; ``llc`` is any key equal inside an LLC, ``kind`` 0 is the fastest."""

    pus: tuple[int, ...]
    package: int
    numa_node: int
    llc: int
    kind: int
    llc_size_kib: int | None = None


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a reader knows of one NUMA node besides its CPUs."""

    os_index: int
    memory_mib: int | None
    distances: tuple[int, ...]


def assemble(
    facts: Iterable[CoreFacts],
    nodes: Sequence[NodeFacts],
    *,
    offline: tuple[int, ...] = (),
    source: str,
    cpu_model: str = "",
) -> Topology:
    """The topology of these cores (at least one); a node's PUs are those of its cores, so it splits none."""
    ordered = _in_order(list(facts))
    llc_numbers = {key: number for number, key in enumerate(dict.fromkeys(fact.llc for fact in ordered))}
    by_package, by_node, by_llc, by_kind = (_grouped(ordered, field) for field in _FIELDS)
    sizes = {fact.llc: fact.llc_size_kib for fact in ordered}
    return Topology(
        packages=tuple(Package(package, pus) for package, pus in by_package.items()),
        numa_nodes=tuple(
            NumaNode(node.os_index, by_node.get(node.os_index, ()), node.memory_mib, node.distances)
            for node in sorted(nodes, key=lambda node: node.os_index)
        ),
        llcs=tuple(Llc(llc_numbers[key], pus, sizes[key]) for key, pus in by_llc.items()),
        cores=tuple(
            Core(index, fact.pus, fact.package, fact.numa_node, llc_numbers[fact.llc], fact.kind)
            for index, fact in enumerate(ordered)
        ),
        kinds=tuple(
            CoreKind(kind, _kind_name(kind, len(by_kind)), by_kind[kind]) for kind in sorted(by_kind)
        ),
        offline=offline,
        source=source,
        cpu_model=cpu_model,
    )


_FIELDS = ("package", "numa_node", "llc", "kind")


def _in_order(facts: list[CoreFacts]) -> list[CoreFacts]:
    lowest = {
        field: {key: pus[0] for key, pus in _grouped(facts, field).items()}
        for field in ("package", "numa_node", "llc")
    }
    return sorted(
        facts,
        key=lambda fact: (
            lowest["package"][fact.package],
            lowest["numa_node"][fact.numa_node],
            lowest["llc"][fact.llc],
            fact.pus[0],
        ),
    )


def _grouped(facts: Iterable[CoreFacts], field: str) -> dict[int, tuple[int, ...]]:
    groups: dict[int, list[int]] = defaultdict(list)
    for fact in facts:
        groups[getattr(fact, field)].extend(fact.pus)
    return {key: tuple(sorted(pus)) for key, pus in groups.items()}


def _kind_name(kind: int, kinds: int) -> KindName:
    if kinds == 1:
        return "any"
    return "performance" if kind == 0 else "efficient"
