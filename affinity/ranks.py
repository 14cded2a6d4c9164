"""NUMA nodes told apart without their numbers: nodes come in, their distances and ranks go out. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from affinity.topology import Core, Topology


def ranks(keys: Sequence[Any], apart: Sequence[Sequence[int]]) -> list[int]:
    """A rank for each node that knows no CPU numbers: by its key, then by how far nodes of which rank are.

    Refined until no more ranks are told apart: Weisfeiler and Leman's colour refinement (1968).
    """
    found: list[int] = []
    refined = _places(keys)
    while refined != found:
        found = refined
        views = [sorted(zip(row, found, strict=True)) for row in apart]
        refined = _places(list(zip(found, views, strict=True)))
    return found


def _places(keys: Sequence[Any]) -> list[int]:
    """For each key, how many are smaller."""
    ordered = sorted(keys)
    return [bisect_left(ordered, key) for key in keys]


def distances(topology: Topology, nodes: Sequence[Sequence[Core]]) -> list[list[int]]:
    """How far each node is from each: the kernel's distance, then whether the package is another."""
    place_of = {node.os_index: place for place, node in enumerate(topology.numa_nodes)}
    places = [place_of[node[0].numa_node] for node in nodes]
    rows = [topology.numa_nodes[place].distances for place in places]
    return [
        [
            (row[place] if row else 0) * 2 + (here[0].package != there[0].package)
            for place, there in zip(places, nodes, strict=True)
        ]
        for row, here in zip(rows, nodes, strict=True)
    ]
