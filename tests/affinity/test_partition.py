"""Rules 1 to 7 and 9 to 11 of a partition, over invented, ugly, own and real machines."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations, permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import MACHINES, OWN, machine_root, ragged, write_tree
from rules import check
from ugly import machines, shapes, symmetric

from affinity import (
    Allowance,
    Choices,
    PartitionError,
    Topology,
    partition,
    read_allowance,
    read_topology,
    synthetic_topology,
    unrestricted,
)
from affinity.assemble import CoreFacts, NodeFacts, assemble

POLICIES = ("auto", "balanced", "local")


@given(machines(), st.data())
@settings(max_examples=250)
def test_every_rule_holds_on_ugly_machines(machine: tuple[Topology, Allowance], data: st.DataObject) -> None:
    topology, allowance = machine
    n = data.draw(st.integers(1, len(topology.cores_within(allowance.pus))))
    for policy in POLICIES:
        divided = partition(topology, allowance, n, policy=policy)
        check(topology, allowance, n, divided)
        assert policy in ("auto", divided.policy)
        assert divided == partition(topology, allowance, n, policy=policy)


@pytest.mark.parametrize("text", ["2 8 2", "1", "3 5", "pack:2 numa:2 l3:2 core:3 pu:2", "numa:4 core:3"])
def test_every_rule_holds_on_invented_machines(text: str) -> None:
    topology = synthetic_topology(text)
    check_all(topology, unrestricted(topology))


@pytest.mark.parametrize("name", MACHINES)
def test_every_rule_holds_on_own_and_real_machines(name: str, tmp_path: Path) -> None:
    """The real ones only where their snapshots are at hand: pytest's header says whether they are."""
    root = machine_root(name, tmp_path)
    topology = read_topology(root)
    check_all(topology, read_allowance(topology, root))


def check_all(topology: Topology, allowance: Allowance) -> None:
    cores = len(topology.cores_within(allowance.pus))
    for n in sorted({*range(1, min(cores, 40) + 1), cores}):
        for policy in POLICIES:
            check(topology, allowance, n, partition(topology, allowance, n, policy=policy))


@given(shapes, st.data())
@settings(max_examples=150)
def test_renumbered_cpus_give_the_same_division(shape: list[list[list[int]]], data: st.DataObject) -> None:
    count = sum(sum(node) for package in shape for node in package)
    numbers = data.draw(st.permutations(range(count)))
    distances = data.draw(st.none() | symmetric(sum(map(len, shape))))
    plain = ragged(shape, distances=distances)
    other = ragged(shape, numbers=list(numbers), distances=distances)
    n = data.draw(st.integers(1, len(plain.cores)))
    for policy in POLICIES:
        assert outline(plain, n, policy) == outline(other, n, policy)


def outline(topology: Topology, n: int, policy: str) -> tuple:
    divided = partition(topology, unrestricted(topology), n, policy=policy)
    sizes = Counter((len(slot.cores), len(slot.numa_nodes), len(slot.llcs)) for slot in divided.slots)
    return divided.policy, divided.crossings, divided.llc_splits, divided.imbalance, frozenset(sizes.items())


def test_ties_between_unequal_nodes_do_not_fall_to_the_lowest_pu() -> None:
    """A chain of nodes of 1, 1, 2, 1 cores, of which either end may be the first, numbered in every way."""
    distances = [[(10, 12, 21, 21)[abs(a - b)] for b in range(4)] for a in range(4)]
    shape = [[[1], [1], [1, 1], [1]]]
    found = {
        outline(ragged(shape, numbers=list(numbers), distances=distances), 3, "local")
        for numbers in permutations(range(5))
    }
    assert len(found) == 1


@given(st.integers(1, 4), st.integers(1, 4), st.data())
def test_equal_nodes_are_crossed_no_more_than_must_be(count: int, size: int, data: st.DataObject) -> None:
    topology = ragged([[[1] * size for _ in range(count)]])
    n = data.draw(st.integers(1, count * size))
    divided = partition(topology, unrestricted(topology), n, policy="balanced")
    assert divided.crossings == count - most_groups(count, size, n)


@given(st.integers(1, 4), st.integers(1, 4), st.data())
def test_equal_caches_are_split_no_more_than_must_be(count: int, size: int, data: st.DataObject) -> None:
    topology = synthetic_topology(f"numa:1 l3:{count} core:{size}")
    n = data.draw(st.integers(1, count * size))
    divided = partition(topology, unrestricted(topology), n, policy="balanced")
    assert divided.llc_splits == count - most_groups(count, size, n)


@pytest.mark.parametrize(
    ("nodes", "n", "crossings", "splits"),
    [
        ([[3, 1], [3, 1]], 3, 1, 1),  # 3 | 1 + 1 | 3: the second node's caches the other way round
        ([[1, 3, 1], [1, 3, 1]], 3, 1, 3),
        ([[2, 1], [1, 2], [2, 1]], 4, 1, 2),
        ([[1, 2], [3], [1, 2]], 5, 1, 1),
    ],
)
def test_small_caches_of_two_nodes_meet_in_one_slot(
    nodes: list[list[int]], n: int, crossings: int, splits: int
) -> None:
    topology = cached(nodes)
    divided = partition(topology, unrestricted(topology), n, policy="balanced")
    assert (divided.crossings, divided.llc_splits) == (crossings, splits)


def cached(nodes: list[list[int]]) -> Topology:
    """One package of nodes of caches of so many cores."""
    places = [
        (node, (node, llc))
        for node, sizes in enumerate(nodes)
        for llc, n in enumerate(sizes)
        for _ in range(n)
    ]
    cores = [CoreFacts((pu,), 0, node, node * 64 + llc, 0) for pu, (node, (_, llc)) in enumerate(places)]
    return assemble(cores, [NodeFacts(node, 1024, ()) for node in range(len(nodes))], source="cached")


def most_groups(count: int, size: int, n: int) -> int:
    """Most groups of whole nodes that whole shares fill (each group then costs its nodes less one)."""
    share = count * size // n
    best = 0
    for ends in (ends for k in range(count) for ends in combinations(range(1, count), k)):
        cores = [(b - a) * size for a, b in zip((0, *ends), (*ends, count), strict=True)]
        low = sum(-(-one // (share + 1)) for one in cores)
        high = sum(one // share for one in cores)
        if all(one // share >= -(-one // (share + 1)) for one in cores) and low <= n <= high:
            best = max(best, len(cores))
    return best


def test_uneven_nodes_are_reordered_to_spare_crossings() -> None:
    topology = ragged([[[1] * 4, [1] * 2, [1] * 4, [1] * 2]])
    assert partition(topology, unrestricted(topology), 3, policy="balanced").crossings == 1


@pytest.mark.parametrize(("sizes", "n", "crossings"), [([4, 2] * 5, 10, 5), ([6, 4, 2] * 3, 12, 3)])
def test_many_uneven_nodes_are_paired_to_spare_crossings(sizes: list[int], n: int, crossings: int) -> None:
    topology = ragged([[[1] * size for size in sizes]])
    assert partition(topology, unrestricted(topology), n, policy="balanced").crossings == crossings


def test_node_boundaries_count_where_all_nodes_share_one_cache() -> None:
    cores = [CoreFacts((pu,), 0, int(pu > 5), 0, 0) for pu in range(8)]
    topology = assemble(cores, [NodeFacts(node, None, ()) for node in range(2)], source="one cache")
    divided = partition(topology, unrestricted(topology), 3, policy="balanced")
    assert divided.crossings == 0


def test_auto_prefers_balance_when_it_crosses_nothing_and_locality_when_it_would() -> None:
    topology = synthetic_topology("4 8")
    assert partition(topology, unrestricted(topology), 8).policy == "balanced"
    five = partition(topology, unrestricted(topology), 5)
    assert (five.policy, five.crossings, five.imbalance) == ("local", 0, 4)
    assert "local" in five.reason


@pytest.mark.parametrize(("large", "policy"), [(4, "local"), (5, "balanced"), (9, "balanced")])
def test_auto_takes_locality_up_to_slots_of_twice_the_cores(large: int, policy: str) -> None:
    topology = ragged([[[1] * large, [1] * 2]])
    divided = partition(topology, unrestricted(topology), 2)
    assert divided.policy == policy
    assert f"2 to {large} cores" in divided.reason


def test_fewer_slots_than_nodes_take_near_nodes_together() -> None:
    topology = synthetic_topology("pack:2 numa:2 core:2")
    divided = partition(topology, unrestricted(topology), 2, policy="local")
    assert [slot.numa_nodes for slot in divided.slots] == [(0, 1), (2, 3)]


def test_near_is_what_the_kernel_calls_near_whatever_the_numbers() -> None:
    far = [[10 if a == b else 12 if a % 2 == b % 2 else 30 for b in range(4)] for a in range(4)]
    topology = ragged([[[1, 1]] * 4], distances=far)
    divided = partition(topology, unrestricted(topology), 2, policy="local")
    assert [slot.numa_nodes for slot in divided.slots] == [(0, 2), (1, 3)]


def test_nodes_of_a_package_are_near_where_the_kernel_tells_no_distances() -> None:
    cores = [CoreFacts((pu,), int(pu > 3), pu, pu, 0) for pu in range(7)]
    topology = assemble(cores, [NodeFacts(node, 1024, ()) for node in range(7)], source="no distances")
    divided = partition(topology, unrestricted(topology), 3, policy="local")
    assert [slot.numa_nodes for slot in divided.slots] == [(0, 1), (2, 3), (4, 5, 6)]


def test_too_many_slots_are_refused_with_the_next_step() -> None:
    topology = synthetic_topology("8")
    with pytest.raises(PartitionError) as error:
        partition(topology, unrestricted(topology), 12)
    assert str(error.value) == (
        "12 slots need 12 cores; this process may use 8 (0-7). "
        "Lower n_parallels or ask for more CPUs, or pass --oversubscribe (oversubscribe=True)."
    )
    for n in (0, -3):
        with pytest.raises(PartitionError, match="1 or more"):
            partition(topology, unrestricted(topology), n, oversubscribe=True)
    with pytest.raises(PartitionError, match="no policy"):
        partition(topology, unrestricted(topology), 1, policy="compact")  # type: ignore[arg-type]


@given(machines(), st.integers(1, 40))
@settings(max_examples=150)
def test_oversubscription_spreads_processes_over_cores_and_idle_siblings(
    machine: tuple[Topology, Allowance], surplus: int
) -> None:
    topology, allowance = machine
    cores = topology.cores_within(allowance.pus)
    n = len(cores) + surplus
    divided = partition(topology, allowance, n, oversubscribe=True)
    assert divided.policy == "oversubscribed"
    assert len(divided.slots) == n
    assert {slot.threads for slot in divided.slots} == {1}
    assert any("share" in line for line in divided.warnings)
    load = Counter(slot.cores[0] for slot in divided.slots)
    assert all(len(slot.cores) == 1 and slot.pus for slot in divided.slots)
    assert max(load.values()) - min(load.values()) <= 1
    assert len(load) == len(cores)
    assert {pu for slot in divided.slots for pu in slot.pus} == set(allowance.pus)
    each = n // len(cores)
    idle = [load[core.index] for core in cores if len(core.pus) > each]
    full = [load[core.index] for core in cores if len(core.pus) <= each]
    assert not idle or not full or min(idle) >= max(full)  # idle siblings first
    for core in cores:
        turns = Counter(pu for slot in divided.slots if slot.cores == (core.index,) for pu in slot.pus)
        assert max(turns.values()) - min(turns.values()) <= 1


@pytest.mark.parametrize("text", ["4 4", "2 4 2", "pack:2 numa:2 core:3"])
def test_processes_too_many_are_spread_over_the_nodes(text: str) -> None:
    topology = synthetic_topology(text)
    cores = len(topology.cores)
    for n in range(cores + 1, 3 * cores):
        slots = partition(topology, unrestricted(topology), n, oversubscribe=True).slots
        load = Counter(slot.numa_nodes for slot in slots)
        assert max(load.values()) - min(load.values()) <= 1, n


def test_a_slot_computes_with_a_thread_for_each_core_or_for_each_pu() -> None:
    topology = synthetic_topology("2 4 2")
    allowance = unrestricted(topology)
    assert [slot.threads for slot in partition(topology, allowance, 4).slots] == [2] * 4
    assert [slot.threads for slot in partition(topology, allowance, 4, threads_per="pu").slots] == [4] * 4
    halved = Choices(smt=False, threads_per="pu")
    divided = halved.divide(topology, halved.select(topology, allowance), 4)
    assert [slot.threads for slot in divided.slots] == [2] * 4  # its siblings belong to nobody
    crowded = partition(topology, allowance, 16, threads_per="pu", oversubscribe=True)
    assert {slot.threads for slot in crowded.slots} == {1}
    quota = replace(allowance, quota_cpus=6.0)
    assert {slot.threads for slot in partition(topology, quota, 2, threads_per="pu").slots} == {3}


def test_a_quota_cuts_threads_and_warns() -> None:
    topology = synthetic_topology("2 8 2")
    allowance = replace(unrestricted(topology), quota_cpus=5.5)
    assert {slot.threads for slot in partition(topology, allowance, 2).slots} == {2}
    assert not partition(topology, allowance, 5).warnings
    assert "5.5" in partition(topology, allowance, 6).warnings[0]


def test_reserved_pus_and_idle_siblings_belong_to_nobody() -> None:
    topology = synthetic_topology("2 2 2")
    allowance = unrestricted(topology).without([0]).one_pu_per_core(topology)
    assert [slot.pus for slot in partition(topology, allowance, 4).slots] == [(1,), (2,), (3,), (4,)]


def test_one_slot_of_a_hybrid_machine_takes_the_fast_cores_alone(tmp_path: Path) -> None:
    topology = read_topology(write_tree(tmp_path, OWN["hybrid"]()))
    one = partition(topology, unrestricted(topology), 1)
    assert one.slots[0].pus == (0, 1, 2, 3)
    assert "4 slower cores stay idle" in one.warnings[0]
    three = partition(topology, unrestricted(topology), 3)
    assert [slot.pus for slot in three.slots] == [(0, 1, 2, 3), (4, 5), (6, 7)]


def test_memory_comes_from_the_nearest_node_that_has_any(tmp_path: Path) -> None:
    topology = read_topology(write_tree(tmp_path, OWN["odd"]()))
    slots = partition(topology, unrestricted(topology), 2, policy="local").slots
    assert {slot.numa_nodes: slot.memory_nodes for slot in slots} == {(0,): (0,), (2,): (0,)}


def test_the_nearest_memory_need_not_be_that_of_the_lowest_node(tmp_path: Path) -> None:
    topology = read_topology(write_tree(tmp_path, OWN["far"]()))
    (slot,) = partition(topology, unrestricted(topology), 1).slots
    assert (slot.numa_nodes, slot.memory_nodes) == ((2,), (1,))
