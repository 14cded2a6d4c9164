"""Kinds of cores: the /sys/devices folder comes in, each PU's kind goes out (0 is the fastest).

Three sources, the most explicit first:
``cpu_core/cpus`` and ``cpu_atom/cpus`` (the PMUs of Intel's hybrid parts, Linux 5.13),
``cpu/cpuN/cpu_capacity`` (Documentation/scheduler/sched-capacity.rst, Arm and newer x86),
``cpu/cpuN/cpufreq/base_frequency`` (intel_pstate).
"""

from __future__ import annotations

from collections.abc import Iterable

from affinity.files import read_int, read_list

_SAME_KIND = 0.9
"""Speeds down to nine tenths of a kind's fastest belong to it: favoured cores of equal parts differ by a few
percent, real kinds by a quarter and more."""


def read_kinds(devices: str, pus: Iterable[int]) -> dict[int, int]:
    """The kind of every PU, dense from 0 (fastest); all 0 where the cores are equal or nothing is told."""
    online = tuple(pus)
    for ranks in (_hybrid(devices, online), *_by_speed(devices, online)):
        if len(set(ranks.values())) > 1:
            return ranks
    return dict.fromkeys(online, 0)


def _hybrid(devices: str, pus: tuple[int, ...]) -> dict[int, int]:
    fast, slow = (set(read_list(f"{devices}/{pmu}/cpus") or ()) for pmu in ("cpu_core", "cpu_atom"))
    if not all((pu in fast) != (pu in slow) for pu in pus):
        return {}
    return {pu: int(pu in slow) for pu in pus}


def _by_speed(devices: str, pus: tuple[int, ...]) -> Iterable[dict[int, int]]:
    for name in ("cpu_capacity", "cpufreq/base_frequency"):
        speeds = {pu: read_int(f"{devices}/system/cpu/cpu{pu}/{name}") for pu in pus[:1]}
        if None not in speeds.values():  # one file tells whether the others are worth reading
            speeds |= {pu: read_int(f"{devices}/system/cpu/cpu{pu}/{name}") for pu in pus[1:]}
        yield _ranks(speeds)


def _ranks(speeds: dict[int, int | None]) -> dict[int, int]:
    known = {pu: speed for pu, speed in speeds.items() if speed is not None and speed > 0}
    if len(known) < len(speeds):
        return {}
    rank_of: dict[int, int] = {}
    rank, fastest = -1, 0
    for speed in sorted(set(known.values()), reverse=True):
        if rank < 0 or speed < _SAME_KIND * fastest:
            rank, fastest = rank + 1, speed
        rank_of[speed] = rank
    return {pu: rank_of[speed] for pu, speed in known.items()}
