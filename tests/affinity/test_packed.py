"""A topology survives the way through a database."""

import json
from dataclasses import replace

import pytest

from affinity import Topology, pack_topology, read_topology, synthetic_topology, unpack_topology


def through_a_database(topology: Topology) -> Topology:
    return unpack_topology(json.loads(json.dumps(pack_topology(topology))))


def without_distances(topology: Topology) -> Topology:
    return replace(topology, numa_nodes=tuple(replace(node, distances=()) for node in topology.numa_nodes))


@pytest.mark.parametrize("text", ["1", "2 8 2", "pack:2 numa:2 l3:2 core:4 pu:2"])
def test_a_topology_comes_back_as_it_was_but_for_distances(text: str) -> None:
    machine = replace(synthetic_topology(text), cpu_model="EPYC «7»", offline=(640, 641))
    assert through_a_database(machine) == without_distances(machine)


def test_this_machine_comes_back_too() -> None:
    assert through_a_database(read_topology()) == without_distances(read_topology())


def test_a_machine_of_128_cores_takes_little_room() -> None:
    assert len(json.dumps(pack_topology(synthetic_topology("2 64 2")))) < 6000
