"""Which process on which machine: identities that survive the reuse of process numbers and reboots."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

_START_TOLERANCE_S = 2.0  # psutil derives start times from the boot time, which NTP may move a little


@dataclass(frozen=True, slots=True)
class HostProcess:
    """A process by host, boot, number and start (seconds since the epoch)."""

    host: str
    boot_id: str
    pid: int
    start_s: float

    def is_here(self) -> bool:
        """Whether it ran on this machine since its last boot (so that we can ask whether it still does)."""
        return self.host == socket.gethostname() and self.boot_id == boot_id()

    def rebooted_away(self) -> bool:
        """Whether this machine has been started anew since."""
        return self.host == socket.gethostname() and self.boot_id != boot_id()

    def is_alive(self) -> bool:
        """Whether that very process runs on this machine; a zombie does not."""
        import psutil

        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.start_s) < _START_TOLERANCE_S
            return bool(same and process.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False


def this_process() -> HostProcess:
    """The identity of the calling process."""
    import psutil

    return HostProcess(socket.gethostname(), boot_id(), os.getpid(), psutil.Process().create_time())


def age_s() -> float:
    """Seconds since this process was started, by no clock that could be set."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])  # proc(5), starttime
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):  # not Linux
        return time.time() - this_process().start_s


def boot_id() -> str:
    """The kernel's identity of the current boot; empty where there is none (not Linux)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
