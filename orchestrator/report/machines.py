"""The machines of a study: host records, slots and attempts in; a table, boxes to draw, environments out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from affinity import Core, Topology, format_list, parse_list
from orchestrator.records import AttemptRecord, HostRecord, SlotRecord
from orchestrator.report.words import memory, several
from orchestrator.summary import Summary
from orchestrator.utilisation import seat_of

MAX_DRAWINGS = 8
MAX_PUS = 1024  # of a drawing
MAX_HOSTS = 500  # rows of the table
N_COLORS = 8  # of slots in the style sheet; further slots begin again
_MOST_NAMES = 6


@dataclass(frozen=True, slots=True)
class Machine:
    """A host with its slots of the last launch, as it is drawn."""

    record: HostRecord
    slots: tuple[SlotRecord, ...]  # in the order of their seats

    @property
    def look(self) -> tuple[object, ...]:
        """Equal for machines whose drawings are alike."""
        own = self.record
        return own.topology, own.allowed, own.memory_mib, tuple(slot.cpus for slot in self.slots)


def machine_rows(summary: Summary) -> list[dict[str, Any]]:
    """A row for each host that made attempts in the study, or had slots in the last launch, by name."""
    told = {record.host: record for record in summary.hosts}
    tried = _grouped(summary.attempts)
    slots = _grouped(summary.slots)
    return [
        _machine_row(host, told.get(host), tried.get(host, []), slots.get(host, []))
        for host in sorted({*told, *tried, *slots})
    ]


def _machine_row(
    host: str, told: HostRecord | None, attempts: Sequence[AttemptRecord], slots: Sequence[SlotRecord]
) -> dict[str, Any]:
    models = {attempt.cpu_model for attempt in attempts if attempt.cpu_model}
    models |= {told.topology.cpu_model} if told is not None and told.topology.cpu_model else set()
    return {
        "host": host,
        "cpu_model": ", ".join(sorted(models)),
        "parts": "" if told is None else _parts(told.topology),
        "allowed": "" if told is None else f"{len(told.allowed)} of {len(told.topology.pus)}",
        "memory": memory(told.memory_mib if told is not None else None),
        "n_slots": len(slots),
        "n_attempts": len(attempts),
        "busy_s": sum(attempt.objective_s or 0.0 for attempt in attempts) or None,
    }


def _parts(topology: Topology) -> str:
    """«2 packages, 4 NUMA nodes, 8 LLCs, 64 cores»."""
    counts = {
        "package": topology.packages,
        "NUMA node": topology.numa_nodes,
        "LLC": topology.llcs,
        "core": topology.cores,
    }
    return ", ".join(several(len(things), name) for name, things in counts.items())


def drawings(summary: Summary) -> dict[str, Any]:
    """The machines of the last launch as nested boxes; those that look alike are drawn once."""
    slots = _grouped(summary.slots)
    groups: dict[tuple[object, ...], list[Machine]] = {}
    for record in summary.hosts:
        machine = Machine(record, tuple(sorted(slots.get(record.host, []), key=seat_of)))
        groups.setdefault(machine.look, []).append(machine)
    shown = [alike for alike in groups.values() if len(alike[0].record.topology.pus) <= MAX_PUS]
    return {
        "machines": [_drawing(alike) for alike in shown[:MAX_DRAWINGS]],
        "n_left_out": len(groups) - len(shown[:MAX_DRAWINGS]),
    }


def _drawing(alike: Sequence[Machine]) -> dict[str, Any]:
    machine = alike[0]
    topology, places = machine.record.topology, _places(machine.slots)
    names = [one.record.host for one in alike]
    more = len(names) - _MOST_NAMES
    return {
        "names": ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else ""),
        "n": len(names),
        "cpu_model": topology.cpu_model or "unknown CPU",
        "packages": _boxes(topology, frozenset(machine.record.allowed), places),
        "slots": [_legend(place, slot, machine.slots) for place, slot in enumerate(machine.slots)],
        "is_idle": any(pu not in places for pu in machine.record.allowed),
        "is_cut": len(machine.record.allowed) < len(topology.pus),
    }


def _places(slots: Sequence[SlotRecord]) -> dict[int, list[int]]:
    """The slots of each PU by their places in the legend; oversubscribed PUs have several."""
    found: dict[int, list[int]] = {}
    for place, slot in enumerate(slots):
        for pu in parse_list(slot.cpus):
            found.setdefault(pu, []).append(place)
    return found


def _boxes(
    topology: Topology, allowed: frozenset[int], places: Mapping[int, list[int]]
) -> list[dict[str, Any]]:
    """Packages of NUMA nodes of last-level caches of cores of PUs."""
    kib = {llc.index: llc.size_kib for llc in topology.llcs}

    def node_of(index: int, cores: list[Core]) -> dict[str, Any]:
        mib = topology.node(index).memory_mib
        llcs = [_llc_box(llc, kib[llc], part) for llc, part in _runs(cores, lambda core: core.llc)]
        return {"name": f"NUMA node {index}", "about": "" if mib is None else memory(mib), "llcs": llcs}

    def _llc_box(index: int, size_kib: int | None, cores: list[Core]) -> dict[str, Any]:
        about = "" if size_kib is None else memory(size_kib / 1024)
        return {"name": f"LLC {index}", "about": about, "cores": [_core(core) for core in cores]}

    def _core(core: Core) -> list[dict[str, Any]]:
        return [_pu(pu, pu in allowed, places.get(pu, [])) for pu in core.pus]

    packages = _runs(topology.cores, lambda core: core.package)
    return [
        {
            "name": f"package {index}" if index >= 0 else "package",
            "nodes": [node_of(node, part) for node, part in _runs(cores, lambda core: core.numa_node)],
        }
        for index, cores in packages
    ]


def _runs(cores: Iterable[Core], key: Callable[[Core], int]) -> list[tuple[int, list[Core]]]:
    """Neighbours with the same key; a topology's order keeps them together."""
    return [(value, list(part)) for value, part in groupby(cores, key)]


def _pu(pu: int, is_allowed: bool, places: Sequence[int]) -> dict[str, Any]:
    if not is_allowed:
        return {"pu": pu, "slots": "", "style": "off", "said": f"PU {pu}: not for this run"}
    if not places:
        return {"pu": pu, "slots": "", "style": "idle", "said": f"PU {pu}: in no slot"}
    text = ",".join(map(str, places))
    return {"pu": pu, "slots": text, "style": f"c{places[0] % N_COLORS}", "said": f"PU {pu}: slot {text}"}


def _legend(place: int, slot: SlotRecord, slots: Sequence[SlotRecord]) -> dict[str, Any]:
    """What the number in the boxes stands for."""
    several_ranks = len({(one.job, one.rank) for one in slots}) > 1
    job = f"job {slot.job}, " if slot.job is not None and len({one.job for one in slots}) > 1 else ""
    rank = f" ({job}rank {slot.rank}, slot {slot.slot})" if several_ranks else ""
    return {
        "style": f"c{place % N_COLORS}",
        "name": f"{place}{rank}",
        "cpus": format_list(parse_list(slot.cpus)),
    }


def environments(summary: Summary) -> list[dict[str, Any]]:
    """What ran on the hosts of the last launch; hosts of one environment are one row."""
    slots = _grouped(summary.slots)
    groups: dict[tuple[object, ...], list[HostRecord]] = {}
    for record in summary.hosts:
        key = (
            tuple(record.versions.items()),
            tuple(record.kept.items()),
            _threads(slots.get(record.host, [])),
        )
        groups.setdefault(key, []).append(record)
    return [
        {
            "names": [record.host for record in alike],
            "cpu_models": sorted({record.topology.cpu_model or "unknown CPU" for record in alike}),
            "versions": alike[0].versions,
            "kept": ", ".join(f"{name}={value}" for name, value in alike[0].kept.items()),
            "threads": _threads(slots.get(alike[0].host, [])),
        }
        for alike in groups.values()
    ]


def _threads(slots: Sequence[SlotRecord]) -> tuple[str, ...]:
    """Planned threads and what the workers' pools really had: «4 planned; got openblas: 4 (16 slots)»."""
    counted = Counter(
        (slot.threads, f"got {slot.pools}" if slot.is_seen else "not seen yet") for slot in slots
    )
    return tuple(
        f"{threads or 'unknown'} planned; {got} ({several(n, 'slot')})"
        for (threads, got), n in sorted(counted.items())
    )


def _grouped(records: Iterable[Any]) -> dict[str, list[Any]]:
    """By host."""
    found: dict[str, list[Any]] = {}
    for record in records:
        found.setdefault(record.host, []).append(record)
    return found
