"""Ugly machines for Hypothesis: nothing comes in, topologies and what may be used of them go out."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

from hypothesis import strategies as st
from machines import ragged

from affinity import Allowance, Topology, unrestricted

nodes = st.lists(st.integers(1, 3), min_size=1, max_size=6)
shapes = st.lists(st.lists(nodes, min_size=1, max_size=3), min_size=1, max_size=3)


@st.composite
def symmetric(draw: st.DrawFn, count: int) -> list[list[int]]:
    """The distances of so many nodes."""
    rows = [[10] * count for _ in range(count)]
    for one, other in combinations(range(count), 2):
        rows[one][other] = rows[other][one] = draw(st.sampled_from((12, 16, 21, 32)))
    return rows


@st.composite
def machines(draw: st.DrawFn) -> tuple[Topology, Allowance]:
    """An ugly machine of which some PUs and some memory nodes may be used."""
    shape = draw(shapes)
    distances = draw(st.none() | symmetric(sum(map(len, shape))))
    topology = ragged(shape, kinds=draw(st.integers(1, 3)), memory=draw(st.booleans()), distances=distances)
    allowed = draw(st.sets(st.sampled_from(topology.pus), min_size=1))
    memory = draw(st.sets(st.sampled_from([node.os_index for node in topology.numa_nodes])))
    quota = draw(st.none() | st.floats(0.1, 40))
    allowance = unrestricted(topology)
    return topology, replace(
        allowance, pus=tuple(sorted(allowed)), memory_nodes=tuple(sorted(memory)), quota_cpus=quota
    )
