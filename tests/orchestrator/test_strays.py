"""What a trial leaves running: ended with it, unless it serves the process itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import multiprocessing, os, subprocess, sys, time
from multiprocessing import resource_tracker
from orchestrator.strays import Strays

before = subprocess.Popen(["sleep", "600"])
strays = Strays()
assert strays.end() == 0
{trial}
n = strays.end()
print(n, before.poll() is None, {alive})
before.kill()
before.wait()
assert strays.end() == 0
"""


@pytest.mark.parametrize(
    ("trial", "alive", "expected"),
    [
        ("pass", "''", "0 True "),
        ("child = subprocess.Popen(['sleep', '600'])", "child.wait()", "1 True 0"),
        ("subprocess.run('sleep 600 & sleep 600 &', shell=True)", "''", "2 True "),
        ("subprocess.run(['setsid', '--fork', 'sleep', '600'])", "''", "1 True "),
        (
            "child = subprocess.Popen([sys.executable, '-c', 'import signal, time; signal.signal(15, "
            "signal.SIG_IGN); print(1, flush=True); time.sleep(600)'], stdout=-1); child.stdout.readline()",
            "child.wait() or child.stdout.close()",
            "1 True None",
        ),
        (
            "resource_tracker.ensure_running()",
            "resource_tracker._resource_tracker._check_alive()",
            "0 True True",
        ),
        (
            "context = multiprocessing.get_context('spawn')\n"
            "child = context.Process(target=time.sleep, args=(600,)); child.start()",
            "child.is_alive()",
            "1 True False",
        ),
        (
            "import psutil; from mpi4py import MPI",  # Open MPI 4 starts a daemon for a process on its own
            "all(child.status() != 'zombie' for child in psutil.Process().children())",
            "0 True True",
        ),
    ],
    ids=["nothing", "child", "orphans", "daemon", "stubborn", "tracker", "multiprocessing", "MPI"],
)
def test_what_a_trial_has_left_is_ended(trial: str, alive: str, expected: str, tmp_path) -> None:
    program = tmp_path / "program.py"
    body = PROGRAM.format(trial=trial, alive=alive)
    indented = "".join(f"    {line}\n" for line in body.strip().splitlines())
    program.write_text(f"if __name__ == '__main__':\n{indented}")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == expected.strip()
