"""What a process really got: /proc and the loaded thread pools come in, an Observation goes out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from affinity.allowance import status_list
from affinity.binding import Binding
from affinity.cpuset import format_list
from affinity.files import numbered, read_text
from affinity.mempolicy import get_policy
from affinity.pages import LONGEST_S, memory_by_node

_FEW_MIB = 16.0
_FEW = 0.1


@dataclass(frozen=True, slots=True)
class Pool:
    """A thread pool that is loaded now, and how many threads it would use."""

    library: str
    threads: int


@dataclass(frozen=True, slots=True)
class Observation:
    """This process as the kernel sees it: ``pus`` is the union of the masks of all ``threads`` threads.

    ``threads_outside`` of them may run on PUs that were not expected. ``memory_nodes`` are those of the
    calling thread's memory policy; ``pus`` is empty where the system has no masks. ``memory_mib`` is the
    private memory that lies on each NUMA node, of a large process a part of it; empty: not known.
    """

    pus: tuple[int, ...]
    threads_outside: int
    memory_nodes: tuple[int, ...]
    memory_policy: str
    pools: tuple[Pool, ...]
    threads: int = 1
    memory_mib: Mapping[int, float] = field(default_factory=dict)


def observe(expected: Iterable[int] | None = None, memory_s: float = LONGEST_S) -> Observation:
    """This process now; ``expected`` are the PUs it should stay on, the main thread's own by default.

    Pools come from threadpoolctl, torch's only if it is imported already. Costs some milliseconds, and for
    the memory of a large process up to ``memory_s`` seconds.
    """
    masks = _masks()
    home = set(masks.get(os.getpid(), ()) if expected is None else expected)
    policy, nodes = get_policy()
    return Observation(
        pus=tuple(sorted({pu for mask in masks.values() for pu in mask})),
        threads_outside=sum(not home.issuperset(mask) for mask in masks.values()),
        memory_nodes=nodes,
        memory_policy=policy,
        pools=tuple(_pools()),
        threads=len(masks),
        memory_mib=memory_by_node(longest_s=memory_s),
    )


def differences(binding: Binding, observation: Observation) -> tuple[str, ...]:
    """One line for each difference between the plan and what is; none when all is as planned."""
    return tuple(
        line
        for check in (_mask_lines, _memory_lines, _page_lines, _pool_lines)
        for line in check(binding, observation)
    )


def _masks() -> dict[int, tuple[int, ...]]:
    """Thread id to mask; a thread that ends while we read is left out."""
    found = {}
    for thread in numbered("/proc/self/task", ""):
        mask = status_list(read_text(f"/proc/self/task/{thread}/status") or "", "Cpus_allowed_list")
        if mask:
            found[thread] = mask
    return found


def _pools() -> Iterator[Pool]:
    try:
        import threadpoolctl
    except ImportError:
        return
    for pool in threadpoolctl.threadpool_info():
        yield Pool(str(pool.get("internal_api") or pool.get("prefix")), int(pool["num_threads"] or 0))
    torch: Any = sys.modules.get("torch")
    if hasattr(torch, "get_num_threads") and hasattr(torch, "get_num_interop_threads"):
        yield Pool("torch", torch.get_num_threads())
        yield Pool("torch interop", torch.get_num_interop_threads())


def _mask_lines(binding: Binding, observation: Observation) -> Iterator[str]:
    planned, real = set(binding.pus), set(observation.pus)
    if not real:
        return
    if real - planned:
        yield (
            f"PUs {format_list(real - planned)} may be used but were not planned ({format_list(planned)});"
            f" {observation.threads_outside} of {observation.threads} threads leave the slot."
        )
    if planned - real:
        yield f"PUs {format_list(planned - real)} were planned but no thread may use them."


def _memory_lines(binding: Binding, observation: Observation) -> Iterator[str]:
    if observation.memory_policy == "unknown" or not binding.memory_nodes:
        return
    planned = binding.memory_policy
    if planned == "none":
        return
    real = "preferred" if observation.memory_policy == "preferred many" else observation.memory_policy
    if real != planned:
        yield f"memory policy {planned} was planned, it is {observation.memory_policy}."
    elif planned != "default" and observation.memory_nodes != binding.memory_nodes:
        nodes, wanted = format_list(observation.memory_nodes), format_list(binding.memory_nodes)
        yield f"memory from nodes {wanted} was planned, it comes from {nodes or 'any'}."


def _page_lines(binding: Binding, observation: Observation) -> Iterator[str]:
    """Memory that lies elsewhere, unless it is little: what the interpreter had before it was bound."""
    elsewhere = {n: mib for n, mib in observation.memory_mib.items() if n not in binding.memory_nodes}
    total, far = sum(observation.memory_mib.values()), sum(elsewhere.values())
    if binding.memory_nodes and far > _FEW_MIB and far > _FEW * total:
        yield (
            f"{far / total:.0%} of the memory looked at lies on node {format_list(elsewhere)}, planned was "
            f"{format_list(binding.memory_nodes)}: has that one too little?"
        )


def _pool_lines(binding: Binding, observation: Observation) -> Iterator[str]:
    for pool in observation.pools:
        if pool.threads > binding.threads:
            yield f"{pool.library} runs {pool.threads} threads, {binding.threads} were planned."
