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

from affinity import (
    Allowance,
    Partition,
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


def check(topology: Topology, allowance: Allowance, n: int, divided: Partition) -> None:
    """Every rule that holds for any n ≤ C."""
    cores = topology.cores_within(allowance.pus)
    own = {core.index: set(core.pus) for core in cores}
    by_index = {core.index: core for core in cores}
    assert [slot.index for slot in divided.slots] == list(range(n))
    seats: Counter[int] = Counter(pu for slot in divided.slots for pu in slot.pus)
    assert set(seats.values()) == {1}  # rule 1: disjoint
    kinds = sorted({core.kind for core in cores})
    used = [core for core in cores if seats.keys() & set(core.pus)]
    if n >= len(kinds):
        assert seats.keys() == set(allowance.pus)  # rule 1: the union is A
    else:
        fast = [core for core in cores if core.kind == kinds[0]]
        assert {core.index for core in fast} <= {core.index for core in used}  # rule 10
        assert len(fast) < n or {core.kind for core in used} == {kinds[0]}
    for slot in divided.slots:
        assert slot.pus
        assert set(slot.pus) == set().union(*(own[core] for core in slot.cores))  # rule 2
        members = [by_index[core] for core in slot.cores]
        assert set(slot.numa_nodes) == {core.numa_node for core in members}
        assert set(slot.llcs) == {core.llc for core in members}
        assert len({core.kind for core in members}) == 1  # rule 10
        check_threads(allowance, n, slot.threads, len(members))
        check_memory(topology, allowance, slot.numa_nodes, slot.memory_nodes)
    check_sizes(topology, cores, divided)
    assert divided.crossings == sum(len(slot.numa_nodes) - 1 for slot in divided.slots)
    assert divided.llc_splits == sum(len(slot.llcs) - 1 for slot in divided.slots)
    assert any("quota" in line for line in divided.warnings) == (
        allowance.quota_cpus is not None and n > allowance.quota_cpus
    )


def check_threads(allowance: Allowance, n: int, threads: int, cores: int) -> None:
    quota = float("inf") if allowance.quota_cpus is None else allowance.quota_cpus
    assert threads == max(1, cores if quota == float("inf") else min(cores, int(quota // n)))


def check_memory(
    topology: Topology, allowance: Allowance, homes: tuple[int, ...], memory: tuple[int, ...]
) -> None:
    usable = {
        node.os_index
        for node in topology.numa_nodes
        if node.memory_mib != 0 and node.os_index in allowance.memory_nodes
    }
    if usable & set(homes) or not usable:
        assert set(memory) == usable & set(homes)
        return
    order = [node.os_index for node in topology.numa_nodes]

    def far(number: int) -> int:
        rows = [topology.node(home).distances for home in homes]
        return min(row[order.index(number)] if row else 0 for row in rows)

    assert len(memory) == 1
    assert memory[0] in usable
    assert far(memory[0]) == min(map(far, usable))


def check_sizes(topology: Topology, cores: tuple, divided: Partition) -> None:
    kind_of = {core.index: core.kind for core in cores}
    node_of = {core.index: core.numa_node for core in cores}
    worst = 0
    by_kind: dict[int, list] = {}
    for slot in divided.slots:
        by_kind.setdefault(kind_of[slot.cores[0]], []).append(slot)
    for slots in by_kind.values():
        sizes = [len(slot.cores) for slot in slots]
        worst = max(worst, max(sizes) - min(sizes))
        if divided.policy == "balanced":  # rule 3
            total, n = sum(sizes), len(sizes)
            assert Counter(sizes) == Counter({total // n: n - total % n}) + Counter(
                {total // n + 1: total % n}
            )
        else:
            check_local(slots, node_of)
    assert divided.imbalance == worst


def check_local(slots: list, node_of: dict[int, int]) -> None:
    """Rule 4."""
    size = Counter(node_of[core] for slot in slots for core in slot.cores)
    n, total = len(slots), sum(size.values())
    if n < len(size):
        owners = Counter(node for slot in slots for node in slot.numa_nodes)
        assert set(owners.values()) == {1}
        counts = [len(slot.numa_nodes) for slot in slots]
        assert max(counts) - min(counts) <= 1
        return
    seats = {node: [slot for slot in slots if slot.numa_nodes == (node,)] for node in size}
    assert sum(map(len, seats.values())) == n
    for node, members in seats.items():
        widths = [len(slot.cores) for slot in members]
        assert widths
        assert max(widths) - min(widths) <= 1
        quota = n * size[node] / total
        if all(n * other >= total for other in size.values()):  # nobody was lifted to one: plain quotas
            assert int(quota) <= len(members) <= int(quota) + 1


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
