"""Waiting for a condition, as every test that follows another process does."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil
import pytest


def wait_until(condition: Callable[[], object], timeout_s: float = 240.0) -> None:
    """Return once the condition is true; the test fails when it stays false."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {timeout_s:g} s in vain")
        time.sleep(0.02)


def has_ended(pid: int) -> bool:
    """Whether a process is no more, or only waits to be reaped."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
