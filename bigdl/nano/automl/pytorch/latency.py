"""How long a call of a model takes: a function in; milliseconds, their spread and what else went on out."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

_WARM_UP_S, _MIN_WARM_UP, _MAX_WARM_UP_S = 0.1, 3, 2.0
_TIMED_S, _MIN_TIMED, _MAX_TIMED_S = 0.3, 20, 5.0
_TRIMMED = 0.2  # of the timings, at either end


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of a call.

    ``mean_ms`` is the mean of the middle 60 % of the timings, ``spread_ms`` the distance of their quartiles.
    ``others_busy`` is the share of the time (0 to 1) that CPUs outside this process' mask were at work
    meanwhile: what other slots, or other users, may have taken of caches and memory. None: there are none, or
    the kernel does not tell.
    """

    mean_ms: float
    spread_ms: float
    n_timed: int
    threads: int
    others_busy: float | None

    def as_json(self) -> dict[str, Any]:
        """Plain data for the trial's attribute ``latency``, to four significant digits."""
        return {name: _rounded(value) for name, value in asdict(self).items()}


def measure(call: Callable[[], Any]) -> Latency:
    """Call it until it is warm, then time call by call for 0.3 s, 20 calls at least (5 s at most)."""
    with torch.inference_mode(), _no_collection():
        _warm_up(call)
        before = _cpu_seconds()
        timings_ms = _timings_ms(call)
        others_busy = _busy_elsewhere(before, _cpu_seconds())
    timings_ms.sort()
    quartiles = statistics.quantiles(timings_ms, n=4)
    return Latency(
        mean_ms=trimmed_mean(timings_ms),
        spread_ms=quartiles[2] - quartiles[0],
        n_timed=len(timings_ms),
        threads=torch.get_num_threads(),
        others_busy=others_busy,
    )


def trimmed_mean(ordered: Sequence[float]) -> float:
    """The mean without a fifth of the numbers at either end."""
    cut = int(len(ordered) * _TRIMMED)
    return statistics.fmean(ordered[cut : len(ordered) - cut])


def _warm_up(call: Callable[[], Any]) -> None:
    begin_s, n_calls = time.perf_counter(), 0
    while True:
        call()
        n_calls += 1
        elapsed_s = time.perf_counter() - begin_s
        is_warm = n_calls >= _MIN_WARM_UP and elapsed_s >= _WARM_UP_S
        if is_warm or elapsed_s >= _MAX_WARM_UP_S:
            return


def _timings_ms(call: Callable[[], Any]) -> list[float]:
    timings_ms: list[float] = []
    begin_ns = time.perf_counter_ns()
    while True:
        start_ns = time.perf_counter_ns()
        call()
        end_ns = time.perf_counter_ns()
        timings_ms.append((end_ns - start_ns) / 1e6)
        elapsed_s, n_timed = (end_ns - begin_ns) / 1e9, len(timings_ms)
        is_enough = n_timed >= _MIN_TIMED and elapsed_s >= _TIMED_S
        if is_enough or (elapsed_s >= _MAX_TIMED_S and n_timed > 1):
            return timings_ms


@contextmanager
def _no_collection() -> Iterator[None]:
    """Garbage of the training is collected before, and none meanwhile."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _cpu_seconds() -> dict[int, tuple[float, float]]:
    """By CPU: its seconds at work and altogether since the machine began; empty where nobody tells."""
    import psutil

    from affinity import parse_list

    try:
        times = psutil.cpu_times(percpu=True)
        online = sorted(parse_list(Path("/sys/devices/system/cpu/online").read_text(encoding="ascii")))
    except (OSError, ValueError, NotImplementedError):
        return {}
    if len(online) != len(times):
        return {}
    return {cpu: (_at_work(one), _altogether(one)) for cpu, one in zip(online, times, strict=True)}


def _altogether(times: Any) -> float:
    return float(
        times.user + times.nice + times.system + times.idle + times.iowait + times.irq + times.softirq
    )


def _at_work(times: Any) -> float:
    return _altogether(times) - float(times.idle + times.iowait)


def _busy_elsewhere(
    before: dict[int, tuple[float, float]], after: dict[int, tuple[float, float]]
) -> float | None:
    others = (before.keys() & after.keys()) - os.sched_getaffinity(0)
    at_work = sum(after[cpu][0] - before[cpu][0] for cpu in others)
    altogether = sum(after[cpu][1] - before[cpu][1] for cpu in others)
    return min(1.0, max(0.0, at_work / altogether)) if altogether > 0 else None


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value
