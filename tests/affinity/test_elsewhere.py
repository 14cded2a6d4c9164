"""Systems whose CPUs cannot be seen or bound: slots have their numbers of threads, and one line says so."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from affinity import Choices, can_bind, read_allowance, read_topology
from affinity import sysfs as reader

MAC = """
import sys
import psutil
del psutil.Process.cpu_affinity  # as psutil is on macOS
sys.platform = "darwin"
"""


def python(code: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", MAC + code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_system_without_masks_is_divided_by_its_count_of_cores() -> None:
    code = """
from affinity import *
machine = read_topology()
allowance = read_allowance(machine)
cores = psutil.cpu_count(logical=False) or psutil.cpu_count()
slots = Choices().divide(machine, allowance, 1).slots
print(len(machine.cores) == cores, slots[0].threads == cores, can_bind(), machine.source)
"""
    assert python(code) == "True True False cores counted, darwin\n"


def test_a_bound_command_there_has_its_threads_and_is_told_once() -> None:
    code = """
import os
from affinity.shim import main
main(["bind", "--pus", "0-3", "--threads", "3", "--", "sh", "-c", "echo $OMP_NUM_THREADS"])
"""
    done = subprocess.run([sys.executable, "-c", MAC + code], capture_output=True, text=True, check=True)
    assert done.stdout == "3\n"
    lines = done.stderr.splitlines()
    assert [line for line in lines if "bind" in line] == [
        "affinity: this system cannot bind processes; only thread counts are set."
    ]


def test_a_machine_without_a_sysfs_is_what_the_scheduler_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_online", lambda folder: ((), ()))
    topology = read_topology()
    assert set(topology.pus) == os.sched_getaffinity(0)
    assert can_bind()
    allowance = read_allowance(topology)
    slots = Choices().divide(topology, allowance, len(topology.cores)).slots
    assert [len(slot.pus) for slot in slots] == [1] * len(topology.cores)
