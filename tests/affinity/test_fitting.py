"""Slots of exactly so many cores: how many fit, where they lie, what stays idle."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import MACHINES, OWN, machine_root, ragged, write_tree
from rules import check_memory, check_threads
from ugly import machines, shapes, symmetric

from affinity import (
    Allowance,
    Choices,
    Partition,
    PartitionError,
    Topology,
    read_allowance,
    read_topology,
    synthetic_topology,
    unrestricted,
)

POLICIES = ("auto", "balanced", "local")


def check(topology: Topology, allowance: Allowance, n: int, size: int, divided: Partition) -> None:
    """Every rule that holds for n slots of ``size`` cores."""
    cores = {core.index: core for core in topology.cores_within(allowance.pus)}
    used = Counter(pu for slot in divided.slots for pu in slot.pus)
    assert set(used.values()) == {1}
    assert sorted([*used, *divided.idle_pus]) == list(allowance.pus)
    assert [slot.index for slot in divided.slots] == list(range(n))
    for slot in divided.slots:
        members = [cores[index] for index in slot.cores]
        assert len(members) == size
        assert sorted(pu for core in members for pu in core.pus) == list(slot.pus)
        assert len({core.kind for core in members}) == 1
        assert set(slot.numa_nodes) == {core.numa_node for core in members}
        assert set(slot.llcs) == {core.llc for core in members}
        check_threads(allowance, n, slot.threads, size)
        check_memory(topology, allowance, slot.numa_nodes, slot.memory_nodes)
    idle = len(cores) - n * size
    assert any("idle" in line for line in divided.warnings) == (idle > 0)
    assert divided.imbalance == 0
    check_places(topology, allowance, size, divided)


def check_places(topology: Topology, allowance: Allowance, size: int, divided: Partition) -> None:
    """While slots of a kind fit inside nodes none crosses, and while they fit inside LLCs none splits one."""
    kind_of = {core.index: core.kind for core in topology.cores}
    for kind in {core.kind for core in topology.cores}:
        slots = [slot for slot in divided.slots if kind_of[slot.cores[0]] == kind]
        cores = [core for core in topology.cores_within(allowance.pus) if core.kind == kind]
        if len(slots) <= sum(count // size for count in Counter(core.numa_node for core in cores).values()):
            assert all(len(slot.numa_nodes) == 1 for slot in slots)
        if len(slots) <= sum(count // size for count in Counter(core.llc for core in cores).values()):
            assert all(len(slot.llcs) == 1 for slot in slots)
        if divided.policy == "local" and any(
            count >= size for count in Counter(core.numa_node for core in cores).values()
        ):
            assert all(len(slot.numa_nodes) == 1 for slot in slots)


@given(machines(), st.integers(1, 6))
@settings(max_examples=200)
def test_every_rule_holds_for_slots_of_a_size(machine: tuple[Topology, Allowance], size: int) -> None:
    topology, allowance = machine
    for policy in POLICIES:
        choices = Choices(cores_per_slot=size, policy=policy)
        most = choices.most_slots(topology, allowance)
        for n in range(1, most + 1):
            divided = choices.divide(topology, allowance, n)
            check(topology, allowance, n, size, divided)
            assert policy in ("auto", divided.policy)
            assert divided == choices.divide(topology, allowance, n)
        with pytest.raises(PartitionError, match="Lower n_parallels"):
            choices.divide(topology, allowance, most + 1)


@given(machines(), st.integers(1, 6))
@settings(max_examples=100)
def test_as_many_fit_as_there_is_room_for(machine: tuple[Topology, Allowance], size: int) -> None:
    topology, allowance = machine
    cores = topology.cores_within(allowance.pus)
    kinds = Counter(core.kind for core in cores)
    found = {
        policy: Choices(cores_per_slot=size, policy=policy).most_slots(topology, allowance)
        for policy in POLICIES
    }
    assert found["auto"] == found["balanced"] == sum(count // size for count in kinds.values())
    assert found["local"] <= found["balanced"]
    assert Choices().most_slots(topology, allowance) == len(cores)


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_every_rule_holds_for_sizes_on_own_and_real_machines(name: str, size: int, tmp_path: Path) -> None:
    """The real ones only where their snapshots are at hand: pytest's header says whether they are."""
    root = machine_root(name, tmp_path)
    topology = read_topology(root)
    allowance = read_allowance(topology, root)
    for policy in POLICIES:
        choices = Choices(cores_per_slot=size, policy=policy)
        most = choices.most_slots(topology, allowance)
        for n in sorted({*range(1, min(most, 16) + 1), most} - {0}):
            check(topology, allowance, n, size, choices.divide(topology, allowance, n))


@given(shapes, st.integers(1, 5), st.data())
@settings(max_examples=150)
def test_renumbered_cpus_give_the_same_slots_of_a_size(
    shape: list[list[list[int]]], size: int, data: st.DataObject
) -> None:
    count = sum(sum(node) for package in shape for node in package)
    numbers = [0, *(pu + 1 for pu in data.draw(st.permutations(range(count - 1))))]
    distances = data.draw(st.none() | symmetric(sum(map(len, shape))))
    plain = ragged(shape, distances=distances)
    other = ragged(shape, numbers=numbers, distances=distances)
    for policy in POLICIES:
        choices = Choices(cores_per_slot=size, policy=policy)
        most = choices.most_slots(plain, unrestricted(plain))
        assert most == choices.most_slots(other, unrestricted(other))
        for n in range(1, most + 1):
            assert outline(plain, n, choices) == outline(other, n, choices)


def outline(topology: Topology, n: int, choices: Choices) -> tuple:
    divided = choices.divide(topology, unrestricted(topology), n)
    places = Counter((len(slot.numa_nodes), len(slot.llcs)) for slot in divided.slots)
    return divided.policy, divided.crossings, divided.llc_splits, frozenset(places.items())


def test_few_slots_are_spread_over_the_nodes_and_leave_cpu_0_alone() -> None:
    topology = synthetic_topology("2 8 2")
    divided = Choices(cores_per_slot=4).divide(topology, unrestricted(topology), 2)
    assert [slot.numa_nodes for slot in divided.slots] == [(0,), (1,)]
    assert 0 in divided.idle_pus
    assert divided.warnings == ("8 of 16 cores stay idle (PUs 0,5-7,12-16,21-23,28-31): 2 slots of 4 cores.",)


def test_slots_that_fit_in_caches_go_where_they_do() -> None:
    topology = ragged([[[1] * 6, [1] * 2]])  # caches of 3, 3 and 2 cores
    divided = Choices(cores_per_slot=2).divide(topology, unrestricted(topology), 3)
    assert [slot.llcs for slot in divided.slots] == [(0,), (1,), (2,)]


def test_slots_wider_than_a_cache_stay_inside_the_node() -> None:
    topology = synthetic_topology("pack:2 numa:1 l3:2 core:4")
    divided = Choices(cores_per_slot=6).divide(topology, unrestricted(topology), 2)
    assert (divided.crossings, divided.llc_splits) == (0, 2)


def test_slots_wider_than_a_node_take_near_nodes_under_local() -> None:
    far = [[10 if a == b else 12 if a % 2 == b % 2 else 30 for b in range(4)] for a in range(4)]
    topology = ragged([[[1, 1, 1]] * 4], distances=far)
    choices = Choices(cores_per_slot=4, policy="local")
    assert choices.most_slots(topology, unrestricted(topology)) == 2
    slots = choices.divide(topology, unrestricted(topology), 2).slots
    assert [slot.numa_nodes for slot in slots] == [(0, 2), (1, 3)]


def test_local_slots_of_a_size_are_refused_where_one_would_cross() -> None:
    topology = synthetic_topology("2 5")
    everything = unrestricted(topology)
    assert Choices(cores_per_slot=3).most_slots(topology, everything) == 3
    local = Choices(cores_per_slot=3, policy="local")
    assert local.most_slots(topology, everything) == 2
    with pytest.raises(PartitionError, match="without crossing NUMA nodes"):
        local.divide(topology, everything, 3)


def test_kinds_are_not_mixed_and_too_small_ones_are_left_out(tmp_path: Path) -> None:
    topology = read_topology(write_tree(tmp_path, OWN["hybrid"]()))  # 2 fast cores, 4 slow ones
    everything = unrestricted(topology)
    three = Choices(cores_per_slot=3)
    assert three.most_slots(topology, everything) == 1
    (slot,) = three.divide(topology, everything, 1).slots
    assert set(slot.pus) <= {4, 5, 6, 7}
    two = Choices(cores_per_slot=2)
    assert [slot.pus for slot in two.divide(topology, everything, 1).slots] == [(0, 1, 2, 3)]
    assert len(two.divide(topology, everything, 3).slots) == 3
    with pytest.raises(PartitionError, match="of one kind"):
        two.divide(topology, everything, 4)


def test_a_size_and_too_many_slots_are_refused_even_if_cores_may_be_shared() -> None:
    topology = synthetic_topology("4")
    with pytest.raises(PartitionError, match="3 slots of 2 cores need 6"):
        Choices(cores_per_slot=2, oversubscribe=True).divide(topology, unrestricted(topology), 3)
