"""Says once where the snapshots of real machines are, or that they are absent."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # importmode=importlib leaves helpers beside the tests unseen


def pytest_report_header() -> str:
    from machines import SNAPSHOTS, index

    found = len(index())
    if found:
        return f"affinity: {found} snapshots of machines in {SNAPSHOTS}"
    return (
        f"affinity: no snapshots in {SNAPSHOTS} (NANO_HPO_SHARED); only this folder's own machines are read"
    )
