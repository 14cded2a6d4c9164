"""The rules of a partition as assertions: a machine and its partition come in, nothing goes out."""

from __future__ import annotations

from collections import Counter

from affinity import Allowance, Partition, Topology


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
    assert divided.idle_pus == tuple(sorted(set(allowance.pus) - seats.keys()))
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
