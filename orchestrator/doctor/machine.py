"""This machine and who started us: nothing in; checks of cores, memory and ranks out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from affinity import (
    AffinityError,
    Allowance,
    Topology,
    can_bind,
    format_list,
    get_policy,
    read_allowance,
    read_topology,
)
from launchers import RankError, read_rank
from orchestrator.doctor.check import Check, bad, good, mind, none

_LITTLE_MIB = 512  # for a worker with numpy, pandas and a framework


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is, and what this process may use of it."""

    topology: Topology
    allowance: Allowance

    @property
    def n_cores(self) -> int:
        """How many workers there can be without sharing cores."""
        return len(self.topology.cores_within(self.allowance.pus))


def read_machine() -> Machine | Check:
    """This machine, or why it cannot be read."""
    try:
        topology = read_topology()
        return Machine(topology, read_allowance(topology))
    except AffinityError as error:
        return bad("cores", str(error), "nano-hpo reads them from /sys: is it mounted?")


def machine_checks(machine: Machine | Check) -> Iterator[Check]:
    """Cores, memory and what may be used of them; whether a launcher has started us."""
    if isinstance(machine, Check):
        yield machine
    else:
        yield _cores(machine)
        yield _threads(machine)
        yield _memory(machine)
        yield _binding(machine)
    yield _rank()


def _cores(machine: Machine) -> Check:
    allowance, model = machine.allowance, machine.topology.cpu_model
    said = f"{machine.n_cores} usable (PUs {format_list(allowance.pus)}){f' of {model}' if model else ''}"
    quota = allowance.quota_cpus
    if quota is not None and quota < machine.n_cores:
        step = f"--n-parallels {max(1, int(quota))} at most, or ask for more; see nano-hpo topology"
        return mind("cores", f"{said}, but only {quota:g} CPUs by quota", step)
    return good("cores", said)


def _threads(machine: Machine) -> Check:
    """Siblings go with their core; where some are not ours, others compute on our cores."""
    smt, allowed = machine.topology.smt, frozenset(machine.allowance.pus)
    if smt == 1:
        return none("SMT", "a core has one hardware thread")
    used = machine.topology.cores_within(allowed)
    halved = [core for core in used if len(core.pus) < len(machine.topology.cores[core.index].pus)]
    if halved:
        step = "ask for whole cores (Slurm: --hint=nomultithread or --exclusive)"
        said = f"{len(halved)} core{'s' * (len(halved) != 1)} of which this process may use a part only"
        return mind("SMT", said, step)
    return good("SMT", f"{smt} hardware threads a core; a slot has whole cores (--smt off: one of each)")


def _memory(machine: Machine) -> Check:
    memory = machine.allowance.memory
    if memory is None:
        return none("memory", "not known")
    share = memory.mib // max(1, machine.n_cores)
    said = f"{memory.mib / 1024:.1f} GiB ({memory.source}), {share / 1024:.1f} GiB a core"
    if share < _LITTLE_MIB:
        step = "fewer, wider slots (--cores-per-slot), --trial-memory, or ask for more memory"
        return mind("memory", said, step)
    return good("memory", said)


def _binding(machine: Machine) -> Check:
    nodes = len(machine.topology.numa_nodes)
    if not can_bind():
        return mind(
            "binding", "this system binds no process", "workers get numbers of threads, no cores of their own"
        )
    if nodes > 1 and get_policy()[0] == "unknown":
        said = f"cores yes; memory policies are not allowed here, of {nodes} NUMA nodes"
        return mind(
            "binding", said, "in a container: --cap-add SYS_NICE; until then memory comes where it is touched"
        )
    return good(
        "binding", f"cores{' and memory' if nodes > 1 else ''}, {nodes} NUMA node{'s' * (nodes != 1)}"
    )


def _rank() -> Check:
    try:
        rank = read_rank(os.environ)
    except RankError as error:
        return bad("rank", str(error), "a run would stop with the same words")
    if rank.size == 1:
        return good("rank", f"alone ({rank.launcher})" if rank.launcher != "alone" else "alone")
    return good("rank", f"{rank.index} of {rank.size}, by {rank.launcher}")
