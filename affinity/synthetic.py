"""An invented machine: a short text comes in, a Topology goes out, so that any machine can be tried anywhere.

Two forms, after hwloc's synthetic descriptions:

* numbers: ``"P C T"`` is P packages of C cores of T PUs; ``"P C"`` has one PU a core; ``"C"`` is the cores of
  one package. Each package is one NUMA node and one LLC.
* labels in this order, any of them left out counting 1: ``"pack:2 numa:2 l3:2 core:4 pu:2"`` has 2 packages
  of 2 nodes of 2 L3 of 4 cores of 2 PUs. Without ``l3`` a node is one LLC.

CPUs are numbered as Linux numbers most x86 servers: core by core for the first PUs, then again for the second
siblings (core i of N has PUs i, i + N, ...). hwloc numbers siblings consecutively.
Every node has 4096 MiB; distances are 10 (itself), 12 (same package) and 21.
"""

from __future__ import annotations

from math import prod

from affinity.assemble import CoreFacts, NodeFacts, assemble
from affinity.errors import SyntheticError
from affinity.topology import Topology

_LABELS = ("pack", "numa", "l3", "core", "pu")
_MOST_PUS = 65536
_NODE_MIB = 4096


def synthetic_topology(text: str) -> Topology:
    """The machine of this description; raises SyntheticError naming the token that is wrong."""
    packages, nodes, llcs, cores, pus = _counts(text)
    total = packages * nodes * llcs * cores
    facts = [
        CoreFacts(
            pus=tuple(range(core, total * pus, total)),
            package=core // (cores * llcs * nodes),
            numa_node=core // (cores * llcs),
            llc=core // cores,
            kind=0,
        )
        for core in range(total)
    ]
    return assemble(facts, _nodes(packages * nodes, nodes), source=f"synthetic '{text.strip()}'")


def _nodes(count: int, per_package: int) -> list[NodeFacts]:
    def distance(one: int, other: int) -> int:
        if one == other:
            return 10
        return 12 if one // per_package == other // per_package else 21

    return [
        NodeFacts(node, _NODE_MIB, tuple(distance(node, other) for other in range(count)))
        for node in range(count)
    ]


def _counts(text: str) -> tuple[int, ...]:
    tokens = text.split()
    if not tokens:
        raise SyntheticError("'' describes no machine; write for example '2 8 2' or 'pack:2 numa:2 core:4'.")
    counts = _labelled(tokens) if ":" in tokens[0] else _plain(tokens)
    if prod(counts) > _MOST_PUS:
        raise SyntheticError(f"'{text.strip()}' has {prod(counts)} PUs; at most {_MOST_PUS} can be invented.")
    return tuple(counts)


def _plain(tokens: list[str]) -> list[int]:
    if len(tokens) > 3:
        raise SyntheticError(f"'{tokens[3]}' is one number too many; numbers mean packages, cores, PUs.")
    numbers = [_number(token, token) for token in tokens]
    if len(numbers) == 1:
        numbers.insert(0, 1)
    packages, cores, pus = [*numbers, 1][:3]
    return [packages, 1, 1, cores, pus]


def _labelled(tokens: list[str]) -> list[int]:
    counts = dict.fromkeys(_LABELS, 1)
    reached = -1
    for token in tokens:
        label, _, number = token.partition(":")
        place = _place(label.lower(), token)
        if place <= reached:
            raise SyntheticError(f"'{token}' comes too late; the order is {', '.join(_LABELS)}, each once.")
        reached = place
        counts[_LABELS[place]] = _number(number, token)
    return list(counts.values())


def _place(label: str, token: str) -> int:
    name = {"package": "pack", "numanode": "numa", "node": "numa"}.get(label, label)
    if name not in _LABELS:
        raise SyntheticError(f"'{token}' has no known label; known are {', '.join(_LABELS)}, as in 'core:4'.")
    return _LABELS.index(name)


def _number(digits: str, token: str) -> int:
    if not (digits.isascii() and digits.isdigit() and 0 < len(digits) < 7 and int(digits) > 0):
        raise SyntheticError(f"'{token}' needs a count of 1 or more, as in 'core:4' or '2 8 2'.")
    return int(digits)
