"""This rank's share of its machine: a rank and a width in, bound slots out."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from socket import gethostname
from typing import Any

from affinity import (
    AffinityError,
    Allowance,
    Choices,
    Partition,
    Slot,
    Topology,
    can_bind,
    explain,
    format_list,
    read_allowance,
    read_topology,
    thread_variables,
)
from affinity.options import dataloader_workers
from launchers import Confinement, Rank, read_confinement, read_rank
from orchestrator.errors import SpecError
from orchestrator.spec import RunSpec


@dataclass(frozen=True, slots=True)
class Share:
    """The machine, what is divided of it, its division among all local ranks, and this rank's slots.

    notes: what people should know of it, a line each.
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
    ``SpecError`` when there are more slots than cores without ``oversubscribe``, or than fit.
    """
    confinement = read_confinement(rank, environ, spec.keep_binding)
    try:
        topology, usable = _usable(confinement)
        allowance = spec.choices.select(topology, usable)
        _require_cores(spec, confinement, topology, allowance)
        whole = spec.choices.divide(topology, allowance, confinement.n_ranks * spec.n_parallels)
    except AffinityError as error:
        raise SpecError(str(error)) from error
    first = confinement.place * spec.n_parallels
    slots = whole.slots[first : first + spec.n_parallels]
    notes = [*_notes(confinement, topology, usable), *_notes_of_slots(spec.choices, whole, slots, environ)]
    if spec.explain:
        notes += explain(topology, allowance, spec.choices, whole)
    share = Share(topology, allowance, whole, slots, tuple(notes))
    _require_memory(spec, share)
    return share


def _require_cores(spec: RunSpec, confinement: Confinement, topology: Topology, allowance: Allowance) -> None:
    """Refuse more workers than cores by the words of whoever started several ranks, or bound this one."""
    n_ranks, n_cores = confinement.n_ranks, len(topology.cores_within(allowance.pus))
    wanted = n_ranks * spec.n_parallels
    has_own_words = spec.choices.cores_per_slot is not None or (n_ranks == 1 and not confinement.more)
    if wanted <= n_cores or spec.choices.oversubscribe or has_own_words:
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


def _notes_of_slots(
    choices: Choices, whole: Partition, slots: tuple[Slot, ...], environ: Mapping[str, str]
) -> Iterator[str]:
    """What these slots do not bear, or cannot be given: of a variable's warnings the first one."""
    if not can_bind():
        yield (
            f"This system ({sys.platform}) binds no processes to cores: each process gets its number of "
            "threads, and runs where the system puts it."
        )
    warnings = {warning: warning for warning in choices.warnings(whole)}
    for slot in slots:
        for warning in thread_variables(slot.threads, environ, pus=slot.pus).warnings:
            warnings.setdefault(warning.partition("=")[0], warning)
    yield from (f"Warning: {warning}" for warning in warnings.values())


def _require_memory(spec: RunSpec, share: Share) -> None:
    """Refuse trials that may together take more than there is."""
    fair_mib, wanted_mib = share.slot_memory_mib, spec.trial_memory_mib
    if fair_mib is None or wanted_mib is None or wanted_mib <= fair_mib or spec.choices.oversubscribe:
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


def checked_choices(**given: Any) -> Choices:
    """How a machine is to be divided, as Python's callers say it. Raises ``SpecError``."""
    try:
        if given.get("dataloader_workers") is None:
            given["dataloader_workers"] = dataloader_workers(None)
        return Choices(**given)
    except AffinityError as error:
        raise SpecError(str(error)) from error


def most_parallels(choices: Choices, environ: Mapping[str, str], keep_binding: bool = False) -> int:
    """How many slots this rank can have: the width of ``n_parallels="auto"``, at least one."""
    n_ranks, n_slots = _ranks_and_slots(choices, environ, keep_binding)
    return max(1, n_slots // n_ranks)


def is_too_wide(n_parallels: int, environ: Mapping[str, str], keep_binding: bool = False) -> bool:
    """Whether so many processes of each of this node's ranks are more than its cores."""
    n_ranks, n_cores = _ranks_and_slots(Choices(), environ, keep_binding)
    return n_ranks * n_parallels > n_cores


def _ranks_and_slots(choices: Choices, environ: Mapping[str, str], keep_binding: bool) -> tuple[int, int]:
    """How many ranks divide how many slots at most."""
    confinement = read_confinement(read_rank(environ), environ, keep_binding)
    try:
        topology, usable = _usable(confinement)
        return confinement.n_ranks, choices.most_slots(topology, choices.select(topology, usable))
    except AffinityError as error:
        raise SpecError(str(error)) from error
