"""This rank's share of its machine: a rank and a width in, bound slots out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from socket import gethostname

from affinity import (
    AffinityError,
    Allowance,
    Partition,
    Slot,
    Topology,
    format_list,
    partition,
    read_allowance,
    read_topology,
)
from launchers import Confinement, Rank, read_confinement, read_rank
from orchestrator.errors import SpecError
from orchestrator.spec import RunSpec


@dataclass(frozen=True, slots=True)
class Share:
    """The machine, what may be used of it, its division among all local ranks, and this rank's slots.

    notes: what people should know of the CPUs that a launcher gave its ranks, a line each.
    """

    topology: Topology
    allowance: Allowance
    partition: Partition
    slots: tuple[Slot, ...]
    notes: tuple[str, ...] = ()

    @property
    def slot_memory_mib(self) -> float | None:
        """What each slot of this machine has of the memory, in MiB; None: nobody says how much there is."""
        memory = self.allowance.memory
        return None if memory is None else memory.mib / len(self.partition.slots)


def read_share(spec: RunSpec, rank: Rank, environ: Mapping[str, str]) -> Share:
    """Divide what the ranks of this node have together into slots and take this rank's.

    Every rank of a node computes the same division, so nothing has to be said between them. Raises
    ``SpecError`` when there are more slots than cores and ``spec.oversubscribe`` is off.
    """
    confinement = read_confinement(rank, environ, spec.keep_binding)
    try:
        topology, allowance = _usable(confinement)
        _require_cores(spec, confinement, topology, allowance)
        wanted = confinement.n_ranks * spec.n_parallels
        whole = partition(topology, allowance, wanted, policy=spec.policy, oversubscribe=spec.oversubscribe)
    except AffinityError as error:
        raise SpecError(str(error)) from error
    first = confinement.place * spec.n_parallels
    slots = whole.slots[first : first + spec.n_parallels]
    share = Share(topology, allowance, whole, slots, _notes(confinement, topology, allowance))
    _require_memory(spec, share)
    return share


def _require_cores(spec: RunSpec, confinement: Confinement, topology: Topology, allowance: Allowance) -> None:
    """Refuse more workers than cores by the words of whoever started several ranks, or bound this one."""
    n_ranks, n_cores = confinement.n_ranks, len(topology.cores_within(allowance.pus))
    wanted = n_ranks * spec.n_parallels
    if wanted <= n_cores or spec.oversubscribe or (n_ranks == 1 and not confinement.more):
        return  # `partition` has words of its own
    ranks = f"{n_ranks} ranks" if n_ranks > 1 else "1 rank"
    who = "they" if n_ranks > 1 else "it"
    fewer = "start fewer ranks on a node, " if n_ranks > 1 else ""
    # What binds ranks is no reason where they use all that their launcher has.
    more = f"bind it to more ({confinement.more}), " if confinement.pus is None and confinement.more else ""
    raise SpecError(
        f"{ranks} on {gethostname()} x {spec.n_parallels} = {wanted} workers need {wanted} cores; {who} may "
        f"use {n_cores} ({format_list(allowance.pus)}). Lower n_parallels, {fewer}{more}or pass "
        "--oversubscribe (oversubscribe=True)."
    )


def _notes(confinement: Confinement, topology: Topology, allowance: Allowance) -> tuple[str, ...]:
    if confinement.note is None:
        return ()
    may_use_all = len(allowance.pus) == len(topology.pus)
    return () if confinement.is_guess and may_use_all else (confinement.note,)


def _require_memory(spec: RunSpec, share: Share) -> None:
    """Refuse trials that may together take more than there is."""
    fair_mib, wanted_mib = share.slot_memory_mib, spec.trial_memory_mib
    if fair_mib is None or wanted_mib is None or wanted_mib <= fair_mib or spec.oversubscribe:
        return
    n_slots, memory = len(share.partition.slots), share.allowance.memory
    assert memory is not None
    raise SpecError(
        f"{n_slots} trials of {wanted_mib:g} MiB (--trial-memory, trial_memory_mib=) do not fit in "
        f"{memory.mib} MiB ({memory.source}), which is {fair_mib:.0f} MiB for each; lower it or n_parallels, "
        "or give --oversubscribe."
    )


def _usable(confinement: Confinement) -> tuple[Topology, Allowance]:
    topology = read_topology()
    mask = None if confinement.pus is None else (confinement.pus, f"mask of {confinement.source}")
    return topology, read_allowance(topology, mask=mask)


def usable_cores(environ: Mapping[str, str], keep_binding: bool = False) -> int:
    """How many cores are this rank's: the width of ``n_parallels="auto"``, at least one."""
    confinement = read_confinement(read_rank(environ), environ, keep_binding)
    topology, allowance = _usable(confinement)
    return max(1, len(topology.cores_within(allowance.pus)) // confinement.n_ranks)
