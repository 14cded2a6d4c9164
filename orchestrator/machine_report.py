"""What an agent tells of its machine: a topology and slots in, plain data for the database out; and back.

It is told twice: what is planned, when the agent joins its run, and once more with what its workers have seen
by then. So a run that goes on, or one whose agent was killed, has its machine in the report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from affinity import (
    Allowance,
    Slot,
    Topology,
    format_list,
    pack_topology,
    parse_list,
    thread_variables,
    unpack_topology,
)
from orchestrator.machine import Share
from orchestrator.records import HostRecord, PoolRecord, SlotRecord
from orchestrator.versions import versions_at_work


def machine_report(
    topology: Topology, allowance: Allowance, environ: Mapping[str, str], slots: Iterable[SlotRecord]
) -> dict[str, Any]:
    """The machine, what of it was divided and into which slots, versions, the thread settings of the user."""
    memory = allowance.memory
    return {
        "topology": pack_topology(topology),
        "allowed": format_list(allowance.pus),
        "memory_mib": None if memory is None else memory.mib,
        "versions": versions_at_work(),
        "kept": thread_variables(1, environ).kept,
        "slots": [asdict(slot) for slot in slots],
    }


def planned(share: Share, rank: int, host: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """The first of the two reports: of the share of a rank, before its workers have said anything."""
    slots = [promised(slot, rank, host) for slot in share.slots]
    return machine_report(share.topology, share.allowance, environ, slots)


def host_record(host: str, data: Mapping[str, Any]) -> HostRecord | None:
    """What :func:`machine_report` has told; None where it is not understood, as of another version."""
    try:
        return HostRecord(
            host=host,
            topology=unpack_topology(data["topology"]),
            allowed=tuple(parse_list(data["allowed"])),
            memory_mib=data["memory_mib"],
            versions=dict(data["versions"]),
            kept=dict(data["kept"]),
        )
    except (KeyError, ValueError, TypeError, IndexError, AttributeError):
        return None


def promised(slot: Slot, rank: int, host: str) -> SlotRecord:
    """A slot before anything has happened in it: what it is to have."""
    return SlotRecord(
        rank=rank,
        host=host,
        slot=slot.index,
        cpus=format_list(slot.pus),
        numa_nodes=slot.numa_nodes,
        threads=slot.threads,
    )


def slot_record(data: Mapping[str, Any], job: str | None) -> SlotRecord:
    """A slot of an agent, which was in a job of Slurm, as it was told."""
    plain = {**data, "job": job}
    plain["numa_nodes"] = tuple(plain["numa_nodes"])
    plain["got_pools"] = tuple(PoolRecord(**pool) for pool in plain["got_pools"])
    plain["problems"] = tuple(plain["problems"])
    return SlotRecord(**plain)
