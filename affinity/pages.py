"""Where memory lies: this process's mappings in, its resident private memory by NUMA node out.

Source: /proc/PID/numa_maps (numa(7)). A line is computed when it is read, so that a look at a large process
may stop early.
"""

from __future__ import annotations

import time

_MAPS = "/proc/self/numa_maps"
LONGEST_S = 0.2


def memory_by_node(path: str = _MAPS, longest_s: float = LONGEST_S) -> dict[int, float]:
    """MiB of private memory on each NUMA node, of as many mappings as ``longest_s`` seconds allow.

    Shared libraries and mapped files lie where whoever read them first wanted them, and are left out. Empty
    where the kernel does not tell (no NUMA, not Linux).
    """
    found: dict[int, float] = {}
    deadline = time.monotonic() + longest_s
    try:
        with open(path, encoding="ascii", errors="replace") as lines:  # noqa: PTH123 - as in files.py
            for line in lines:
                _count(line.split(), found)
                if time.monotonic() > deadline:
                    break
    except OSError:
        return {}
    return found


def _count(words: list[str], found: dict[int, float]) -> None:
    facts = dict(word.split("=", 1) for word in words if "=" in word)
    if "anon" not in facts:
        return
    size = facts.get("kernelpagesize_kB", "")
    mib = (int(size) if size.isdigit() else 4) / 1024
    for name, pages in facts.items():
        if name[0] == "N" and name[1:].isdigit() and pages.isdigit():
            found[int(name[1:])] = found.get(int(name[1:]), 0.0) + int(pages) * mib
