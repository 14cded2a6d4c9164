"""The slots of the last launch: their records in; what they got, and what their time went into, out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from orchestrator.records import SlotRecord
from orchestrator.report.words import number, percent, seconds
from orchestrator.summary import Summary
from orchestrator.utilisation import USES, Utilisation, of_hosts, of_slots

MAX_SLOTS = 500  # rows of each table


def slot_rows(slots: Sequence[SlotRecord]) -> list[dict[str, Any]]:
    """What each slot was promised and got."""
    return [_slot(slot) for slot in slots[:MAX_SLOTS]]


def _slot(slot: SlotRecord) -> dict[str, Any]:
    return {
        "record": slot,
        "numa": ", ".join(map(str, slot.numa_nodes)),
        "threads": slot.threads or "–",
        "pools": slot.pools if slot.is_seen else "–",
        "moved": bool(slot.got_cpus) and slot.got_cpus != slot.cpus,
    }


def use_rows(summary: Summary) -> list[dict[str, Any]]:
    """What the time went into: a row for each host, followed by those of its slots."""
    last = summary.runs[-1].run_id if summary.runs else None
    attempts = [attempt for attempt in summary.attempts if attempt.run_id == last]
    by_host = groupby(of_slots(summary.slots, attempts).items(), lambda item: item[0][0])
    here = {host: [(_seat(*seat[1:]), used) for seat, used in slots] for host, slots in by_host}
    rows = []
    for host, used in of_hosts(summary.slots, attempts).items():
        rows.append(_use(host, f"all {len(here[host])}" if len(here[host]) > 1 else here[host][0][0], used))
        rows += [_use("", name, one) for name, one in here[host] if len(here[host]) > 1]
    return rows


def _seat(job: str, rank: int, slot: int) -> str:
    return f"{f'job {job}, ' if job else ''}rank {rank}, slot {slot}"


def _use(host: str, slot: str, used: Utilisation) -> dict[str, Any]:
    cells = [_part(used.seconds(use), used.alive_s) for use in USES]
    efficiency = None if used.efficiency is None else percent(used.efficiency, 1)
    row = {"host": host, "slot": slot, "alive": seconds(used.alive_s), "uses": cells}
    return {**row, "efficiency": number(efficiency)}


def _part(part_s: float, whole_s: float) -> str:
    """«1 min 20 s (45 %)», which breaks between its two parts alone; a dash for nothing."""
    if part_s <= 0:
        return "–"
    parts = (seconds(part_s), f"({percent(part_s, whole_s)})")
    return " ".join(part.replace(" ", "\u00a0") for part in parts)
