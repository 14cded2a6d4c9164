"""Why a worker died: what an exit status tells, with what the kernel says of kills for memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator import post_mortem
from orchestrator.causes import Cause
from orchestrator.post_mortem import OomWatch, cause_of_death


@pytest.fixture
def kills(monkeypatch):
    """How often the kernel has killed for memory, as it is told."""
    count = [0]
    monkeypatch.setattr(post_mortem, "read_oom_kills", lambda: count[0])
    return count


@pytest.mark.parametrize(
    ("returncode", "cause", "detail"),
    [
        (-signal.SIGSEGV, Cause.SIGNAL, "SIGSEGV (segmentation fault)"),
        (-signal.SIGKILL, Cause.SIGNAL, "SIGKILL"),
        (-signal.SIGABRT, Cause.SIGNAL, "SIGABRT (aborted by itself)"),
        (-40, Cause.SIGNAL, "signal 40"),
        (3, Cause.EXITED, "exit status 3"),
        (0, Cause.EXITED, "exit status 0"),
        (75, Cause.DATABASE_LOST, "the worker could not reach it any more"),
    ],
)
def test_an_exit_status_tells_the_cause(kills, returncode, cause, detail):
    oom = OomWatch()
    oom.look()
    verdict = cause_of_death(returncode, oom, 100.0)
    assert (verdict.cause, verdict.detail) == (cause, detail)


def test_a_kill_is_for_memory_when_the_kernel_has_killed_meanwhile(kills):
    oom = OomWatch()
    oom.look()
    kills[0] += 1
    assert cause_of_death(-signal.SIGSEGV, oom, None).cause is Cause.SIGNAL
    killed = cause_of_death(-signal.SIGKILL, oom, 812.3)
    assert killed.cause is Cause.KILLED_FOR_MEMORY
    assert killed.detail == "by the kernel, it had taken 812 MiB"
    assert cause_of_death(-signal.SIGKILL, oom, 812.3).cause is Cause.SIGNAL  # that one was by somebody else


def test_two_kills_explain_two_workers(kills):
    oom = OomWatch()
    oom.look()
    kills[0] += 2
    causes = [cause_of_death(-signal.SIGKILL, oom, None).cause for _ in range(3)]
    assert causes == [Cause.KILLED_FOR_MEMORY, Cause.KILLED_FOR_MEMORY, Cause.SIGNAL]


def test_where_the_kernel_tells_nothing_a_kill_is_a_kill(monkeypatch):
    monkeypatch.setattr(post_mortem, "read_oom_kills", lambda: None)
    oom = OomWatch()
    oom.look()
    assert cause_of_death(-signal.SIGKILL, oom, None).cause is Cause.SIGNAL


GREEDY = """
def objective(trial):
    if trial.number == 2:
        hoard = bytearray(2 << 30)
        hoard[::4096] = b"x" * len(hoard[::4096])
    return 0.0
"""
MEMORY = Path("/sys/fs/cgroup/memory")


@pytest.fixture
def group():
    """A control group (v1) with 700 MiB, as Slurm makes one for a job with --mem."""
    mine = MEMORY / f"nano-hpo-test-{os.getpid()}"
    try:
        mine.mkdir()
        (mine / "memory.limit_in_bytes").write_text(str(700 << 20))
    except OSError as error:
        pytest.skip(f"No control group can be made: {error}")
    with suppress(OSError):
        (mine / "memory.memsw.limit_in_bytes").write_text(str(700 << 20))
    yield mine
    mine.rmdir()


@pytest.mark.long
def test_the_kernel_kills_a_worker_and_neither_agent_nor_run(cli, group):
    (cli.cwd / "greedy.py").write_text(GREEDY)
    enter = f"import os, sys; open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()));"
    command = [sys.executable, "-c", f"{enter} os.execv(sys.argv[1], sys.argv[1:])"]
    words = ("run", "greedy.py", "-n", 5, "-p", 2, "--draw", "none", "--json", "--run-dir", "run")
    done = subprocess.run(
        [*command, *cli.argv(*words)], cwd=cli.cwd, env=cli.env, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    (lost,) = cli("trials", "--failed", "--json", "--storage", f"sqlite:///{cli.cwd}/run/study.db").json
    assert (lost["trial"], lost["cause"], lost["trial_state"]) == (2, "killed for memory", "FAIL")
    assert lost["peak_rss_mib"] > 350  # its share: it was its own fault
