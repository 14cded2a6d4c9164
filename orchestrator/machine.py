"""This rank's share of its machine: a rank and a width in, bound slots out."""

from __future__ import annotations

from dataclasses import dataclass

from affinity import AffinityError, Allowance, Partition, Slot, Topology, partition, read_allowance
from affinity import read_topology as read
from launchers import Rank
from orchestrator.errors import SpecError
from orchestrator.spec import Policy


@dataclass(frozen=True, slots=True)
class Share:
    """The machine, what may be used of it, its division among all local ranks, and this rank's slots."""

    topology: Topology
    allowance: Allowance
    partition: Partition
    slots: tuple[Slot, ...]


def read_share(rank: Rank, n_parallels: int, policy: Policy, oversubscribe: bool) -> Share:
    """Divide this machine into ``local_size x n_parallels`` slots and take this rank's.

    Every rank of a node computes the same division, so nothing has to be said between them. Raises
    ``SpecError`` when there are more slots than cores and ``oversubscribe`` is off.
    """
    try:
        topology = read()
        allowance = read_allowance(topology)
        wanted = rank.local_size * n_parallels
        whole = partition(topology, allowance, wanted, policy=policy, oversubscribe=oversubscribe)
    except AffinityError as error:
        raise SpecError(str(error)) from error
    first = rank.local_index * n_parallels
    return Share(topology, allowance, whole, whole.slots[first : first + n_parallels])


def usable_cores() -> int:
    """How many cores this process may use: the width of ``n_parallels="auto"`` on one rank."""
    topology = read()
    return len(topology.cores_within(read_allowance(topology).pus))
