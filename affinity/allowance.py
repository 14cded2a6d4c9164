"""What this process may use of a machine: a Topology comes in, an Allowance with all its reasons goes out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from affinity.cgroup import read_cpusets, read_memory_sets, read_quotas
from affinity.cpuset import format_list, parse_list
from affinity.errors import CpusetError
from affinity.files import read_text
from affinity.memory import Memory, read_memory
from affinity.topology import Topology

CHOSEN = "chosen"
"""The source of a constraint that a caller put on itself."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """One thing that limits this process.

    ``kind`` is 'online', 'scheduler mask', 'cpuset', 'quota', or what a caller chose: 'excluded', 'reserved',
    'core kind', 'one PU per core'; ``source`` names the file or call; ``pus`` is what it leaves, ``cpus`` a
    quota in CPUs; ``text`` is for people.
    """

    kind: str
    source: str
    pus: tuple[int, ...] | None
    cpus: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Allowance:
    """The PUs and memory nodes this process may use, ascending, its CPU quota (None: none), and why.

    ``pus`` is the intersection over all constraints, ``quota_cpus`` the smallest quota of all ancestors,
    ``memory`` the least of the machine's and of all limits.
    """

    pus: tuple[int, ...]
    memory_nodes: tuple[int, ...]
    quota_cpus: float | None
    constraints: tuple[Constraint, ...]
    memory: Memory | None = None  # None: not known

    def describe(self) -> str:
        """One line: «16 PUs, 8 allowed by the scheduler mask, 6 left (1 core reserved: 0,8), quota 4.0 …»."""
        online = [one for one in self.constraints if one.kind == "online"]
        machine = set(online[0].pus or ()) if online else set(self.pus)
        total = len(machine)
        parts = [f"{total} PU{'s' * (total != 1)}"]
        chosen = [one for one in self.constraints if one.source == CHOSEN]
        given = [one for one in self.constraints if one.pus is not None and one.source != CHOSEN]
        cutting = [one for one in given if not machine <= set(one.pus or ())]
        if cutting:
            kinds = dict.fromkeys(one.kind for one in cutting)
            parts.append(f"{len(_left_by(machine, given))} allowed by the {' and the '.join(kinds)}")
        if chosen:
            parts.append(f"{len(self.pus)} left ({', '.join(one.text for one in chosen)})")
        quota = min((one for one in self.constraints if one.cpus is not None), key=_cpus, default=None)
        if quota is not None:
            parts.append(f"quota {quota.cpus} CPUs from {quota.source}")
        return ", ".join(parts)

    def without(self, pus: Iterable[int], kind: str = "reserved", what: str = "") -> Allowance:
        """The same less these PUs, with the constraint that says so; ``what`` they are, for people."""
        taken = frozenset(pus)
        left = tuple(pu for pu in self.pus if pu not in taken)
        return self._cut(left, kind, f"{what or 'PUs'} {kind}: {format_list(taken)}")

    def only(self, pus: Iterable[int], kind: str, text: str) -> Allowance:
        """The same with none but these PUs, as far as they were allowed before."""
        kept = frozenset(pus)
        return self._cut(tuple(pu for pu in self.pus if pu in kept), kind, text)

    def one_pu_per_core(self, topology: Topology) -> Allowance:
        """The same with the lowest allowed PU of each core: SMT siblings stay idle and belong to nobody."""
        left = tuple(sorted(core.pus[0] for core in topology.cores_within(self.pus)))
        return self._cut(left, "one PU per core", "SMT siblings idle")

    def _cut(self, pus: tuple[int, ...], kind: str, text: str) -> Allowance:
        reason = Constraint(kind, CHOSEN, pus, None, text)
        return replace(self, pus=pus, constraints=(*self.constraints, reason))


def read_allowance(
    topology: Topology, root: Path = Path("/"), mask: tuple[tuple[int, ...], str] | None = None
) -> Allowance:
    """What this process (``root`` "/") or a snapshot's (another root) may use of the topology.

    ``mask`` (CPUs, and whose they are) stands for the scheduler mask of this process: a launcher may have
    narrowed that one.

    Scheduler mask ∩ cpuset of each cgroup hierarchy ∩ online PUs; the quota is the smallest quota/period over
    all ancestor groups. Of a snapshot the mask is known only if it kept proc/self/status. A constraint that
    contradicts all others (leaves nothing: numbers of another PID or machine) is reported, and not applied.
    """
    constraints = [_online(topology), *_mask(root, mask), *_cpusets(root)]
    quotas = [_quota_constraint(quota.cpus, quota.source) for quota in read_quotas(root)]
    return Allowance(
        pus=_left_by(topology.pus, constraints),
        memory_nodes=_memory_nodes(topology, root),
        quota_cpus=min((_cpus(quota) for quota in quotas), default=None),
        constraints=(*constraints, *quotas),
        memory=read_memory(root),
    )


def unrestricted(topology: Topology) -> Allowance:
    """All of the topology: for invented machines, and for asking «what if»."""
    nodes = tuple(node.os_index for node in topology.numa_nodes)
    return Allowance(topology.pus, nodes, None, (_online(topology),))


def _online(topology: Topology) -> Constraint:
    pus = topology.pus
    text = f"{len(pus)} PUs are online ({format_list(pus)})"
    if topology.offline:
        text += f"; {format_list(topology.offline)} are offline"
    return Constraint("online", topology.source, pus, None, text)


def _mask(root: Path, given: tuple[tuple[int, ...], str] | None) -> list[Constraint]:
    pus, source = given or _scheduler_mask(root)
    if not pus:
        return []
    text = f"the scheduler mask allows {len(pus)} PUs ({format_list(pus)})"
    return [Constraint("scheduler mask", source, pus, None, text)]


def _scheduler_mask(root: Path) -> tuple[tuple[int, ...], str]:
    if root == Path("/"):
        # Not psutil here: this is asked before anything is decided, and the call is the same.
        if sys.platform != "linux":
            return (), ""
        return tuple(sorted(os.sched_getaffinity(0))), "sched_getaffinity"
    path = root / "proc/self/status"
    return status_list(read_text(str(path)) or "", "Cpus_allowed_list"), str(path)


def status_list(status: str, field: str) -> tuple[int, ...]:
    """The set in a list field of a /proc/PID/status text; empty when it has none (proc(5))."""
    for line in status.splitlines():
        if line.startswith(field + ":"):
            try:
                return parse_list(line.partition(":")[2])
            except CpusetError:
                return ()
    return ()


def _cpusets(root: Path) -> list[Constraint]:
    return [
        Constraint(
            "cpuset",
            found.source,
            found.numbers,
            None,
            f"the cpuset allows {len(found.numbers)} PUs ({format_list(found.numbers)})",
        )
        for found in read_cpusets(root)
    ]


def _quota_constraint(cpus: float, source: str) -> Constraint:
    return Constraint("quota", source, None, cpus, f"the CPU quota is {cpus:g} CPUs")


def _memory_nodes(topology: Topology, root: Path) -> tuple[int, ...]:
    nodes = tuple(node.os_index for node in topology.numa_nodes)
    allowed = status_list(read_text(str(root / "proc/self/status")) or "", "Mems_allowed_list")
    for numbers in (allowed, *(found.numbers for found in read_memory_sets(root))):
        nodes = _common(nodes, numbers)
    return nodes


def _common(numbers: tuple[int, ...], others: tuple[int, ...]) -> tuple[int, ...]:
    """The intersection, unless it is empty: a process that runs has something to run on."""
    return tuple(number for number in numbers if number in frozenset(others)) or numbers


def _left_by(pus: Iterable[int], constraints: Iterable[Constraint]) -> tuple[int, ...]:
    left = tuple(sorted(pus))
    for constraint in constraints:
        left = _common(left, constraint.pus or ())
    return left


def _cpus(constraint: Constraint) -> float:
    return float("inf") if constraint.cpus is None else constraint.cpus
