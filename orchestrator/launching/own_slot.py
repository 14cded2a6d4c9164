"""This process as the one slot of its machine: what it may use of it in, slot and machine as told out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from affinity import Allowance, Binding, Slot, Topology, format_list, observe, read_allowance, read_topology
from orchestrator.machine_report import machine_report, promised
from orchestrator.records import PoolRecord, SlotRecord


@dataclass(frozen=True, slots=True)
class OwnSlot:
    """A process that nobody has bound, on ``host``: its slot is all that it may use."""

    topology: Topology
    allowance: Allowance
    host: str

    @classmethod
    def read(cls, host: str) -> OwnSlot:
        """That of the calling process; some milliseconds."""
        topology = read_topology()
        return cls(topology, read_allowance(topology), host)

    @property
    def binding(self) -> Binding:
        """Its CPUs, as an order to a worker says it."""
        return Binding(self.allowance.pus, (), len(self.allowance.pus))

    def promised(self) -> SlotRecord:
        """Before anything has happened in it. Libraries take a thread for each of its PUs."""
        pus = self.allowance.pus
        cores = self.topology.cores_within(pus)
        slot = Slot(
            index=0,
            pus=pus,
            cores=tuple(core.index for core in cores),
            numa_nodes=tuple(sorted({core.numa_node for core in cores})),
            memory_nodes=(),
            llcs=tuple(sorted({core.llc for core in cores})),
            threads=len(pus),
            why="this process",
        )
        return promised(slot, 0, self.host)

    def seen(self) -> SlotRecord:
        """With what this process has now: the masks of all threads, the thread pools."""
        now = observe()
        return replace(
            self.promised(),
            got_cpus=format_list(now.pus) or None,
            got_pools=tuple(PoolRecord(pool.library, pool.threads) for pool in now.pools),
            got_memory_mib={str(node): round(mib, 1) for node, mib in now.memory_mib.items()},
        )

    def report(self, environ: Mapping[str, str]) -> dict[str, Any]:
        """What is told of the machine when the search begins."""
        return machine_report(self.topology, self.allowance, environ, [self.promised()])
