"""Says once where the snapshots of real machines are, or that they are absent."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))  # importmode=importlib leaves helpers beside the tests unseen

# A busy machine is slow, not wrong: no example has a time limit. In CI the parent is Hypothesis's profile for
# it: the same examples every time.
settings.register_profile(
    "patient", parent=settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")


def pytest_report_header() -> str:
    from machines import SNAPSHOTS, index

    found = len(index())
    if found:
        return f"affinity: {found} snapshots of machines in {SNAPSHOTS}"
    return (
        f"affinity: no snapshots in {SNAPSHOTS} (NANO_HPO_SHARED); only this folder's own machines are read"
    )
