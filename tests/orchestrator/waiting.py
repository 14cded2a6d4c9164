"""Waiting for a condition, as every test that follows another process does."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psutil
import pytest

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T], *processes: subprocess.Popen[Any], what: str = "", timeout_s: float = 240.0
) -> T:
    """The condition's first true value.

    The test fails when it stays false (``what`` is said then), and at once when one of ``processes`` ends
    before.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        ended = [process for process in processes if process.poll() is not None]
        if found := condition():
            return found
        for process in ended:
            pytest.fail(f"it ended with {process.returncode} before: {process.communicate()}")
        if time.monotonic() > deadline:
            pytest.fail(f"waited {timeout_s:g} s in vain{what and ': '}{what}")
        time.sleep(0.02)


def has_ended(pid: int) -> bool:
    """Whether a process is no more, or only waits to be reaped."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
