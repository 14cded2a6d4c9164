"""A machine whose tree of CPUs cannot be seen: what the system counts comes in, a plain Topology goes out.

For systems other than Linux, and for Linux without a sysfs: equal cores of one PU in one package and node. It
can be divided, and slots have their numbers of threads; where the system binds no process, that is all.
"""

from __future__ import annotations

import os
import sys

from affinity.assemble import CoreFacts, NodeFacts, assemble
from affinity.topology import Topology


def plain_topology() -> Topology:
    """As many cores as this process may use, as far as the system tells."""
    facts = [CoreFacts((pu,), 0, 0, 0, 0) for pu in _pus()]
    return assemble(facts, [NodeFacts(0, None, ())], source=f"cores counted, {sys.platform}")


def can_bind() -> bool:
    """Whether a process can be given a mask here."""
    if sys.platform == "linux":
        return True
    try:
        import psutil
    except ImportError:
        return False
    return hasattr(psutil.Process, "cpu_affinity")


def _pus() -> tuple[int, ...]:
    if sys.platform == "linux":
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(_cores() or os.cpu_count() or 1))


def _cores() -> int | None:
    """Cores, not their hardware threads; with their numbers for who can be bound."""
    try:
        import psutil
    except ImportError:
        return None
    count = psutil.cpu_count(logical=can_bind())
    return int(count) if count else None
