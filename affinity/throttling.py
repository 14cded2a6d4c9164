"""CPU quotas at work: this process's control groups in, the seconds that they have held it up out.

Sources: Documentation/admin-guide/cgroup-v2.rst (cpu.stat: throttled_usec) and
Documentation/scheduler/sched-bwc.rst (throttled_time, in nanoseconds).
"""

from __future__ import annotations

import time
from pathlib import Path

from affinity.cgroup import cpu_groups
from affinity.files import read_text

_UNITS = {"throttled_usec": 1e-6, "throttled_time": 1e-9}
_LITTLE = 0.01  # of the time: a burst at the start of a process


class Throttling:
    """How long a CPU quota has held this process and its children up since it was made."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._began_s = time.monotonic()
        self._before_s = read_throttled_s(root)

    def problem(self) -> str | None:
        """One line where that was more than a hundredth of the time."""
        held_s = read_throttled_s(self._root) - self._before_s
        if held_s <= _LITTLE * (time.monotonic() - self._began_s):
            return None
        return f"the CPU quota of this process's control group has held it up for {held_s:.1f} s in all."


def read_throttled_s(root: Path = Path("/")) -> float:
    """Seconds for which this process's group or one of its ancestors was throttled since it was made.

    All processes of the group share that time; of several groups the one that was held up longest counts. 0
    where no quota has ever bitten.
    """
    return max((_throttled_s(folder) for folder in cpu_groups(root)), default=0.0)


def _throttled_s(folder: str) -> float:
    for line in (read_text(f"{folder}/cpu.stat") or "").splitlines():
        name, _, number = line.partition(" ")
        if name in _UNITS and number.isdigit():
            return int(number) * _UNITS[name]
    return 0.0
