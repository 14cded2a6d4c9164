"""What is left out of a division before it is made: excluded, reserved, other kinds, siblings."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
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
from affinity.topology import Core


def reserved(topology: Topology, allowance: Allowance, count: int) -> list[Core]:
    """The cores that a reservation takes away; whole ones, or the test fails."""
    left = Choices(reserve=count).select(topology, allowance)
    gone = set(allowance.pus) - set(left.pus)
    cores = [core for core in topology.cores_within(allowance.pus) if gone & set(core.pus)]
    assert {pu for core in cores for pu in core.pus} == gone
    return cores


@given(machines(), st.data())
@settings(max_examples=200)
def test_a_reservation_takes_so_many_whole_cores_slow_ones_first_evenly(
    machine: tuple[Topology, Allowance], data: st.DataObject
) -> None:
    topology, allowance = machine
    cores = topology.cores_within(allowance.pus)
    count = data.draw(st.integers(0, len(cores) - 1))
    taken = reserved(topology, allowance, count)
    assert len(taken) == count
    left = [core for core in cores if core not in taken]
    assert not taken or max(core.kind for core in left) <= min(core.kind for core in taken)
    slowest = [core for core in cores if core.kind == max(core.kind for core in cores)]
    assert not taken or not any(0 in core.pus for core in slowest) or any(0 in core.pus for core in taken)
    for kind in {core.kind for core in cores}:
        check_turns([core for core in cores if core.kind == kind], taken, lambda core: core.numa_node)
        for node in {core.numa_node for core in cores}:
            members = [core for core in cores if core.kind == kind and core.numa_node == node]
            check_turns(members, taken, lambda core: core.llc)


def check_turns(cores: list[Core], taken: list[Core], group_of) -> None:
    """Nobody has given a core before another that had lost less then and has cores left."""
    sizes = Counter(map(group_of, cores))
    given_away = Counter(group_of(core) for core in cores if core in taken)
    for one in sizes:
        for other in sizes:
            if given_away[one] and given_away[other] < sizes[other]:
                assert (given_away[one] - 1) / sizes[one] <= given_away[other] / sizes[other]


@given(machines())
@settings(max_examples=100)
def test_a_larger_reservation_takes_what_a_smaller_one_takes_and_more(
    machine: tuple[Topology, Allowance],
) -> None:
    topology, allowance = machine
    cores = len(topology.cores_within(allowance.pus))
    found = [{core.index for core in reserved(topology, allowance, count)} for count in range(cores)]
    assert all(less < more for less, more in pairwise(found))


@given(machines(), st.data())
@settings(max_examples=200)
def test_every_rule_holds_for_what_is_left(machine: tuple[Topology, Allowance], data: st.DataObject) -> None:
    topology, allowance = machine
    choices = Choices(
        exclude=tuple(data.draw(st.sets(st.sampled_from([*topology.pus, 999]), max_size=4))),
        reserve=data.draw(st.integers(0, 3)),
        core_kind=data.draw(st.sampled_from(("any", "performance", "efficient"))),
        smt=data.draw(st.booleans()),
    )
    try:
        left = choices.select(topology, allowance)
    except PartitionError:  # nothing is left
        return
    assert left.pus
    assert set(left.pus) <= set(allowance.pus) - set(choices.exclude)
    cores = topology.cores_within(left.pus)
    kinds = {core.kind for core in cores}
    assert choices.core_kind != "performance" or kinds == {0}
    assert choices.core_kind != "efficient" or 0 not in kinds
    assert choices.smt or all(len(core.pus) == 1 for core in cores)
    n = data.draw(st.integers(1, len(cores)))
    for policy in ("auto", "balanced", "local"):
        check(topology, left, n, replace(choices, policy=policy).divide(topology, left, n))


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("choices", [Choices(smt=False), Choices(reserve=1), Choices(reserve=3, smt=False)])
def test_every_rule_holds_for_what_is_left_of_own_and_real_machines(
    name: str, choices: Choices, tmp_path: Path
) -> None:
    """The real ones only where their snapshots are at hand: pytest's header says whether they are."""
    root = machine_root(name, tmp_path)
    topology = read_topology(root)
    allowance = read_allowance(topology, root)
    cores = topology.cores_within(allowance.pus)
    if len(cores) <= choices.reserve:
        with pytest.raises(PartitionError, match="reserve fewer"):
            choices.select(topology, allowance)
        return
    left = choices.select(topology, allowance)
    count = len(topology.cores_within(left.pus))
    assert count == len(cores) - choices.reserve
    for n in sorted({*range(1, min(count, 20) + 1), count}):
        check(topology, left, n, choices.divide(topology, left, n))


@given(shapes, st.data())
@settings(max_examples=150)
def test_renumbered_cpus_have_the_same_reservation_while_cpu_0_is_the_same(
    shape: list[list[list[int]]], data: st.DataObject
) -> None:
    count = sum(sum(node) for package in shape for node in package)
    numbers = [0, *(pu + 1 for pu in data.draw(st.permutations(range(count - 1))))]
    distances = data.draw(st.none() | symmetric(sum(map(len, shape))))
    plain = ragged(shape, distances=distances)
    other = ragged(shape, numbers=numbers, distances=distances)
    reserve = data.draw(st.integers(0, len(plain.cores) - 1))
    n = data.draw(st.integers(1, len(plain.cores) - reserve))
    for policy in ("auto", "balanced", "local"):
        choices = Choices(reserve=reserve, policy=policy)
        assert outline(plain, n, choices) == outline(other, n, choices)


def outline(topology: Topology, n: int, choices: Choices) -> tuple:
    divided = choices.divide(topology, choices.select(topology, unrestricted(topology)), n)
    sizes = Counter((len(slot.cores), len(slot.numa_nodes), len(slot.llcs)) for slot in divided.slots)
    return divided.policy, divided.crossings, divided.llc_splits, divided.imbalance, frozenset(sizes.items())


def test_reserved_cores_come_from_all_nodes_that_of_cpu_0_first() -> None:
    topology = synthetic_topology("2 8 2")
    everything = unrestricted(topology)
    assert [core.pus for core in reserved(topology, everything, 1)] == [(0, 16)]
    assert [core.pus for core in reserved(topology, everything, 2)] == [(0, 16), (8, 24)]
    left = Choices(reserve=2).select(topology, everything)
    assert [len(slot.cores) for slot in partition(topology, left, 2).slots] == [7, 7]
    assert left.describe() == "32 PUs, 28 left (2 cores reserved: 0,8,16,24)"


def test_a_large_node_gives_more_than_a_small_one() -> None:
    topology = ragged([[[1] * 6, [1] * 2]])
    taken = reserved(topology, unrestricted(topology), 4)
    assert Counter(core.numa_node for core in taken) == {0: 3, 1: 1}


def test_equal_nodes_are_told_apart_by_their_place_in_the_machine() -> None:
    """A node alone in its package, and two in another, of which one has CPU 0: numbered in two ways."""
    shape = [[[1, 1]], [[1, 1], [1, 1]]]
    second = set()
    for numbers in ([2, 3, 0, 1, 4, 5], [4, 5, 0, 1, 2, 3]):
        topology = ragged(shape, numbers=numbers)
        taken = reserved(topology, unrestricted(topology), 2)
        second.add(next(core.package for core in taken if 0 not in core.pus))
    assert len(second) == 1


def test_reserved_cores_of_a_node_come_from_all_its_caches() -> None:
    topology = synthetic_topology("numa:1 l3:4 core:4")
    assert [core.llc for core in reserved(topology, unrestricted(topology), 4)] == [0, 1, 2, 3]


def test_a_reservation_on_a_hybrid_machine_spares_the_fast_cores(tmp_path: Path) -> None:
    topology = read_topology(write_tree(tmp_path, OWN["hybrid"]()))
    everything = unrestricted(topology)
    assert [core.pus for core in reserved(topology, everything, 2)] == [(4,), (5,)]
    fast = Choices(core_kind="performance", reserve=2, smt=False).select(topology, everything)
    assert fast.pus == (0, 2)
    assert Choices(core_kind="efficient").select(topology, everything).pus == (4, 5, 6, 7)


def test_excluded_pus_may_be_parts_of_cores_and_need_not_be_there() -> None:
    topology = synthetic_topology("1 2 2")
    left = Choices(exclude="0,77").select(topology, unrestricted(topology))  # type: ignore[arg-type]
    assert [slot.pus for slot in partition(topology, left, 2).slots] == [(1, 3), (2,)]


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        (Choices(reserve=8), "8 reserved cores leave none of the 8"),
        (Choices(exclude=tuple(range(8))), "PUs 0-7 excluded"),
        (Choices(core_kind="efficient"), "all cores of this machine are equal"),
    ],
)
def test_nothing_left_is_refused_with_the_numbers(choices: Choices, words: str) -> None:
    topology = synthetic_topology("8")
    with pytest.raises(PartitionError, match=words):
        choices.select(topology, unrestricted(topology))


@pytest.mark.parametrize(
    "wrong",
    [
        {"policy": "compact"},
        {"smt": "off"},
        {"reserve": -1},
        {"reserve": True},
        {"cores_per_slot": 0},
        {"cores_per_slot": 1.5},
        {"exclude": "x"},
        {"exclude": (-1,)},
        {"exclude": 5},
        {"core_kind": "fast"},
        {"mem_policy": "default"},
        {"omp_bind": "master"},
        {"dataloader_workers": "2"},
        {"oversubscribe": None},
    ],
)
def test_a_choice_that_cannot_be_is_refused_by_name(wrong: dict) -> None:
    (name,) = wrong
    with pytest.raises(PartitionError, match=f"^{name} is "):
        Choices(**wrong)
