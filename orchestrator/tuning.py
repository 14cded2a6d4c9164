"""How many trials at once: a command and widths in; trials an hour at each width, measured, out.

At each width as many copies of the command run as there are slots, each bound to its own as a worker is, one
after the other until the time is over.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import IO

from affinity import Choices, Partition, bind_command
from orchestrator.errors import RunFailed

_TICK_S = 0.02
_END_S = 5.0


@dataclass(frozen=True, slots=True)
class Width:
    """What came out at one width. ``peak_mib``: of the largest process, from the kernel."""

    n_parallels: int
    cores: int  # of the smallest slot
    threads: int
    n_runs: int
    median_s: float  # of one run
    runs_per_hour: float
    peak_mib: float

    def fits(self, memory_mib: float | None) -> bool:
        """Whether so many processes have room in the memory, going by the peak."""
        return memory_mib is None or self.n_parallels * self.peak_mib <= memory_mib


@dataclass(slots=True)
class _Lane:
    """One slot and what runs in it."""

    argv: list[str]
    output: IO[bytes]
    process: subprocess.Popen[bytes] | None = None
    began_s: float = 0.0
    took_s: list[float] | None = None
    ended_s: float = 0.0


def widths_up_to(n_cores: int) -> tuple[int, ...]:
    """1, 2, 4, … and the number of cores itself."""
    powers = [2**k for k in range(n_cores.bit_length()) if 2**k < n_cores]
    return (*powers, n_cores)


def measure(
    partition: Partition,
    choices: Choices,
    command: Sequence[str],
    seconds: float,
    environ: Mapping[str, str],
) -> Width:
    """Run the command in all slots at once, again and again for so many seconds, and at least once in each.

    Raises ``RunFailed`` when it fails, with its last words; what still runs is ended.
    """
    n = len(partition.slots)
    with tempfile.TemporaryDirectory(prefix="nano-hpo-tune-") as folder:
        lanes = [
            _Lane(bind_command(choices.binding(slot), command), (Path(folder) / str(slot.index)).open("wb+"))
            for slot in partition.slots
        ]
        began_s = time.monotonic()
        try:
            peaks = _run(lanes, environ, until_s=began_s + seconds)
        finally:
            for lane in lanes:
                _end(lane)
                lane.output.close()
    took = [one for lane in lanes for one in lane.took_s or ()]
    rates = [len(lane.took_s or ()) / (lane.ended_s - began_s) for lane in lanes]
    return Width(
        n_parallels=n,
        cores=min(len(slot.cores) for slot in partition.slots),
        threads=min(slot.threads for slot in partition.slots),
        n_runs=len(took),
        median_s=median(took),
        runs_per_hour=3600 * sum(rates),
        peak_mib=max(peaks),
    )


def _run(lanes: Sequence[_Lane], environ: Mapping[str, str], until_s: float) -> list[float]:
    peaks = []
    for lane in lanes:
        _start(lane, environ)
    while any(lane.process is not None for lane in lanes):
        time.sleep(_TICK_S)
        for lane in lanes:
            if lane.process is None:
                continue
            pid, status, usage = os.wait4(lane.process.pid, os.WNOHANG)
            if pid == 0:
                continue
            lane.process.returncode = os.waitstatus_to_exitcode(status)
            _require_success(lane)
            lane.ended_s = time.monotonic()
            lane.took_s = [*(lane.took_s or ()), lane.ended_s - lane.began_s]
            lane.process = None
            peaks.append(usage.ru_maxrss / 1024)
            if lane.ended_s < until_s:
                _start(lane, environ)
    return peaks


def _start(lane: _Lane, environ: Mapping[str, str]) -> None:
    lane.output.truncate(0)
    lane.began_s = time.monotonic()
    lane.process = subprocess.Popen(
        lane.argv,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=lane.output,
        stderr=lane.output,
        start_new_session=True,
    )


def _require_success(lane: _Lane) -> None:
    assert lane.process is not None
    if lane.process.returncode == 0:
        return
    lane.output.seek(0)
    lines = lane.output.read().decode(errors="replace").strip().splitlines()
    said = f": {lines[-1]}" if lines else ""
    raise RunFailed(f"The command ended with exit status {lane.process.returncode}{said}")


def _end(lane: _Lane) -> None:
    """End what still runs, with all that it has started."""
    process = lane.process
    if process is None or process.returncode is not None:
        return
    for number, patience_s in ((15, _END_S), (9, _END_S)):
        try:
            os.killpg(process.pid, number)
            process.wait(patience_s)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def best_of(widths: Sequence[Width], memory_mib: float | None) -> Width:
    """The width with the most trials an hour whose processes have room; of two alike the narrower one."""
    fitting = [width for width in widths if width.fits(memory_mib)] or list(widths[:1])
    most = max(width.runs_per_hour for width in fitting)
    return next(width for width in fitting if width.runs_per_hour >= 0.97 * most)
