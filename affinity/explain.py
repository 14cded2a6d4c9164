"""Why a division is as it is: a Partition and the choices behind it come in, lines for people go out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from affinity.allowance import Allowance
from affinity.choices import Choices
from affinity.cpuset import format_list
from affinity.describe import table
from affinity.errors import PartitionError
from affinity.slots import Partition, Slot
from affinity.topology import Topology


def explain(
    topology: Topology, allowance: Allowance, choices: Choices, divided: Partition
) -> tuple[str, ...]:
    """For each slot why it has these cores and what that costs, then what each policy would have given."""
    lines = ["", f"Why: {divided.reason}  ({allowance.describe()})"]
    lines += [f"  slot {slot.index}: {slot.why}; {_cost(slot, divided)}." for slot in divided.slots]
    return (*lines, *_comparison(topology, allowance, choices, divided))


def alternatives(
    topology: Topology, allowance: Allowance, choices: Choices, divided: Partition
) -> list[dict[str, Any]]:
    """What each policy would give for as many slots: its cost, or why it cannot."""
    found: list[dict[str, Any]] = []
    if divided.policy == "oversubscribed":
        return found
    for policy in ("balanced", "local"):
        chosen = {"policy": policy, "chosen": policy == divided.policy}
        try:
            other = replace(choices, policy=policy).divide(topology, allowance, len(divided.slots))
        except PartitionError as error:
            found.append({**chosen, "refused": str(error).partition(". ")[0]})
            continue
        sizes = [len(slot.cores) for slot in other.slots]
        found.append(
            {
                **chosen,
                "crossings": other.crossings,
                "llc_splits": other.llc_splits,
                "imbalance": other.imbalance,
                "cores_per_slot": [min(sizes), max(sizes)],
                "idle_pus": list(other.idle_pus),
            }
        )
    return found


def _cost(slot: Slot, divided: Partition) -> str:
    """What this slot has less than the best that there can be."""
    most = max(len(one.cores) for one in divided.slots)
    costs = [
        f"crosses {_many(len(slot.numa_nodes) - 1, 'NUMA node boundary', 'NUMA node boundaries')}"
        * (len(slot.numa_nodes) > 1),
        f"spans {len(slot.llcs)} LLCs ({format_list(slot.llcs)})" * (len(slot.llcs) > 1),
        f"has {_many(most - len(slot.cores), 'core', 'cores')} fewer than the largest"
        * (len(slot.cores) < most),
        f"its memory is in node {format_list(slot.memory_nodes)}"
        * bool(slot.memory_nodes and set(slot.memory_nodes) - set(slot.numa_nodes)),
        f"shares its core with {_many(_sharers(slot, divided), 'slot', 'slots')}"
        * (divided.policy == "oversubscribed"),
    ]
    told = [cost for cost in costs if cost]
    return f"it {', '.join(told)}" if told else "costs nothing"


def _sharers(slot: Slot, divided: Partition) -> int:
    return sum(other.cores == slot.cores for other in divided.slots) - 1


def _many(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"


def _comparison(
    topology: Topology, allowance: Allowance, choices: Choices, divided: Partition
) -> Iterable[str]:
    found = alternatives(topology, allowance, choices, divided)
    rows = [("policy", "NUMA crossings", "LLC splits", "imbalance", "cores a slot", "idle PUs")]
    rows += [
        (
            f"{one['policy']}{' (taken)' * one['chosen']}",
            str(one["crossings"]),
            str(one["llc_splits"]),
            str(one["imbalance"]),
            "-".join(map(str, dict.fromkeys(one["cores_per_slot"]))),
            format_list(one["idle_pus"]) or "none",
        )
        for one in found
        if "refused" not in one
    ]
    if len(rows) > 1:
        yield "What each policy gives:"
        yield from (f"  {row}" for row in table(rows))
    yield from (f"  {one['policy']}: {one['refused']}" for one in found if "refused" in one)
