"""What a process has started, and what those have started: a process or a mark in, process ids out.

A process belongs to a worker if it descends from it, or if it was born with the worker's mark in its
environment: that finds daemons too, which have left session, group and parent behind.
"""

import contextlib
import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

__all__ = ["MARK", "descendants", "families", "kill_all", "kill_marked", "marked"]

MARK = "NANO_HPO_WORKER"  # environment variable: one value for a worker and all that it starts
PROC = Path("/proc")
ROUNDS = 50  # a process may start another while it is being killed
ROUND_S = 0.01


def descendants(pid: int) -> list[int]:
    """The children of a process, their children and so on, without itself; empty when it has gone."""
    return families((pid,))[pid]


def families(pids: Iterable[int]) -> dict[int, list[int]]:
    """The descendants of each process, by one look at all processes of the machine at most."""
    if _lists_children(os.getpid()):
        return {pid: list(_children(pid)) for pid in pids}
    children = _children_of_all()
    return {pid: _below(pid, children) for pid in pids}


def _lists_children(pid: int) -> bool:
    return (PROC / f"{pid}/task/{pid}/children").exists()  # CONFIG_PROC_CHILDREN


def _children(pid: int) -> Iterator[int]:
    """By the kernel's own lists, one for each thread (proc(5))."""
    for thread in _numbers(PROC / f"{pid}/task"):
        for child in map(int, _text(PROC / f"{pid}/task/{thread}/children").split()):
            yield child
            yield from _children(child)


def _children_of_all() -> Mapping[int, list[int]]:
    """By asking every process for its parent."""
    children: dict[int, list[int]] = defaultdict(list)
    for one in _numbers(PROC):
        parent = _text(PROC / f"{one}/stat").rpartition(")")[2].split()[1:2]
        if parent:
            children[int(parent[0])].append(one)
    return children


def _below(pid: int, children: Mapping[int, list[int]]) -> list[int]:
    found: list[int] = []
    waiting = [pid]
    while waiting:
        nearest = children.get(waiting.pop(), [])
        found += nearest
        waiting += nearest
    return found


def marked(mark: str) -> list[int]:
    """The processes that were born with this mark or one below it, but for zombies and those of others."""
    return [pid for pid in _numbers(PROC) if _has_mark(_bytes(PROC / f"{pid}/environ"), mark)]


def _has_mark(environ: bytes, mark: str) -> bool:
    name = f"{MARK}={mark}".encode()
    return any(entry == name or entry.startswith(name + b"/") for entry in environ.split(b"\0"))


def kill_marked(mark: str) -> None:
    """Kill every process with this mark but ourselves, and what they start meanwhile."""
    for _ in range(ROUNDS):
        found = [pid for pid in marked(mark) if pid != os.getpid()]
        if not found:
            return
        kill_all(found)
        time.sleep(ROUND_S)


def kill_all(pids: Iterable[int], number: int = signal.SIGKILL) -> None:
    """Send a signal to each process that is still there and ours."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _numbers(folder: Path) -> list[int]:
    try:
        return [int(name) for name in os.listdir(folder) if name.isdigit()]  # noqa: PTH208 - of hundreds
    except OSError:
        return []


def _text(path: Path) -> str:
    return _bytes(path).decode("ascii", "replace")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has gone, or is another user's
        return b""
