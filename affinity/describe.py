"""A machine and its partition for people and for machines: values come in, plain text or a dict goes out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from affinity.allowance import Allowance
from affinity.cpuset import format_list
from affinity.slots import Partition
from affinity.topology import Topology


def describe_topology(topology: Topology, allowance: Allowance, partition: Partition | None) -> str:
    """Plain text in three parts: the machine, what this process may use and why, the slots (if divided)."""
    parts = [_machine(topology), _allowed(allowance)]
    if partition is not None:
        parts.append([*_slots(partition), *_memory(allowance, len(partition.slots))])
    return "\n\n".join("\n".join(lines) for lines in parts)


def as_json(allowance: Allowance, partition: Partition | None) -> dict[str, Any]:
    """The same for ``json.dumps``: keys allowed, constraints, slots, then extras; PUs are kernel numbers."""
    return {
        "allowed": list(allowance.pus),
        "constraints": [
            {
                "kind": one.kind,
                "source": one.source,
                "text": one.text,
                "pus": None if one.pus is None else list(one.pus),
                "cpus": one.cpus,
            }
            for one in allowance.constraints
        ],
        "slots": [
            {
                "index": slot.index,
                "pus": list(slot.pus),
                "cores": list(slot.cores),
                "numa_nodes": list(slot.numa_nodes),
                "threads": slot.threads,
                "memory_nodes": list(slot.memory_nodes),
                "llcs": list(slot.llcs),
                "why": slot.why,
            }
            for slot in (partition.slots if partition else ())
        ],
        "memory_nodes": list(allowance.memory_nodes),
        "quota_cpus": allowance.quota_cpus,
        "memory_mib": None if allowance.memory is None else allowance.memory.mib,
        "policy": partition.policy if partition else None,
        "reason": partition.reason if partition else None,
        "warnings": list(partition.warnings if partition else ()),
        "crossings": partition.crossings if partition else None,
        "llc_splits": partition.llc_splits if partition else None,
        "imbalance": partition.imbalance if partition else None,
        "idle_pus": list(partition.idle_pus) if partition else None,
    }


def _machine(topology: Topology) -> list[str]:
    counts = ", ".join(
        f"{len(things)} {name}{'s' * (len(things) != 1)}"
        for name, things in (
            ("package", topology.packages),
            ("NUMA node", topology.numa_nodes),
            ("LLC", topology.llcs),
            ("core", topology.cores),
            ("PU", topology.pus),
        )
    )
    lines = [f"Machine: {topology.cpu_model or 'unknown CPU'}", f"  {counts}  ({topology.source})"]
    if len(topology.kinds) > 1:
        lines += [f"  {kind.name} cores: PUs {format_list(kind.pus)}" for kind in topology.kinds]
    for node in topology.numa_nodes:
        memory = "memory unknown" if node.memory_mib is None else f"{node.memory_mib} MiB"
        lines.append(f"  NUMA node {node.os_index}: PUs {format_list(node.pus) or 'none'}, {memory}")
    if topology.offline:
        lines.append(f"  offline: {format_list(topology.offline)}")
    return lines


def _allowed(allowance: Allowance) -> list[str]:
    lines = [f"This process may use PUs {format_list(allowance.pus) or 'none'}: {allowance.describe()}"]
    lines += [f"  {one.text}  ({one.source})" for one in allowance.constraints]
    return lines


def _slots(partition: Partition) -> list[str]:
    rows = [("slot", "PUs", "cores", "NUMA", "threads", "why")]
    rows += [
        (
            str(slot.index),
            format_list(slot.pus),
            format_list(slot.cores),
            format_list(slot.numa_nodes),
            str(slot.threads),
            slot.why,
        )
        for slot in partition.slots
    ]
    lines = [*table(rows), f"Policy: {partition.reason}"]
    lines.append(
        f"  NUMA crossings {partition.crossings}, LLC splits {partition.llc_splits},"
        f" imbalance {partition.imbalance}"
    )
    return [*lines, *(f"Warning: {warning}" for warning in partition.warnings)]


def _memory(allowance: Allowance, n_slots: int) -> list[str]:
    if allowance.memory is None:
        return []
    share = allowance.memory.mib // n_slots
    return [f"Memory: {share} MiB a slot of {allowance.memory.mib} MiB  ({allowance.memory.source})"]


def table(rows: Sequence[tuple[str, ...]]) -> Iterable[str]:
    """The rows as lines, their columns aligned."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
