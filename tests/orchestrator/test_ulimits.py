"""Low ``ulimit -n`` and ``ulimit -u``: raised where that may be done, else one line that names the limit."""

from __future__ import annotations

import os
import resource
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from affinity import Slot
from orchestrator import ulimits
from orchestrator.errors import SpecError
from tests.conftest import program

WORDS = ("run", "job.py:empty", "-n", 16, "-p", 8, "--oversubscribe", "--draw", "none", "--json")
SLOT = Slot(0, (0,), (0,), (0,), (0,), (0,), 1, "for a test")
# Root has no limit of processes; this user may read what is root's, as the Python that runs the tests.
MAY_READ = "+dac_override,+dac_read_search"
USER = ("--reuid=64999", "--clear-groups", f"--inh-caps={MAY_READ}", f"--ambient-caps={MAY_READ}")


def limited(
    cli, limits: str, *words: object, become: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """The command line below a shell that has set its limits."""
    shell = f"{limits}; exec {shlex.join(cli.argv(*words))}"
    return subprocess.run(
        [*become, "bash", "-c", shell], cwd=cli.cwd, env=cli.env, capture_output=True, text=True, timeout=240
    )


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The last line; only warnings may stand before it."""
    *before, line = done.stderr.splitlines()
    assert all(other.startswith("Warning: ") for other in before), done.stderr
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    return line


def test_a_soft_limit_of_open_files_is_raised_without_a_word(cli) -> None:
    done = limited(cli, "ulimit -Sn 30", *WORDS)
    assert done.returncode == 0, done.stderr
    assert "ulimit" not in done.stderr


def test_few_open_files_will_do_where_they_are_enough(cli) -> None:
    done = limited(cli, f"ulimit -n {ulimits.FILES + 8 * ulimits.FILES_A_WORKER}", *WORDS)
    assert done.returncode == 0, done.stderr


def test_too_few_open_files_are_refused_with_what_is_needed(cli) -> None:
    line = complaint(limited(cli, "ulimit -n 40", *WORDS))
    assert "8 workers need 48 open files" in line
    assert "(ulimit -n) is 40" in line
    assert not list(cli.cwd.rglob("study.db"))


def as_user(folder: Path) -> tuple[str, ...]:
    """What makes a command one of a user with limits, who may write to the folder."""
    if os.getuid() != 0:
        return ()
    folder.chmod(0o777)
    for parent in folder.parents[:2]:
        parent.chmod(0o755)
    return (program("setpriv"), *USER)


def some_processes(number: int) -> int:
    """A limit that leaves room for so many processes; root's other user has none yet."""
    return number if os.getuid() == 0 else number + ulimits._tasks_of(os.getuid(), Path("/proc"))


def test_too_few_processes_are_refused_with_what_is_needed(cli) -> None:
    limit = some_processes(9)
    line = complaint(limited(cli, f"ulimit -u {limit}", *WORDS, become=as_user(cli.cwd)))
    assert "8 workers need 10 more processes and threads; the limit of user " in line
    assert f"(ulimit -u) is {limit}, and " in line
    assert not list(cli.cwd.rglob("study.db"))


def test_a_soft_limit_of_processes_is_raised_without_a_word(cli) -> None:
    done = limited(cli, f"ulimit -Su {some_processes(9)}", *WORDS, become=as_user(cli.cwd))
    assert done.returncode == 0, done.stderr
    assert "ulimit" not in done.stderr


def test_threads_of_workers_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = os.getuid() + 1
    for pid, text in {
        "1": f"Uid:\t{user}\t0\nThreads:\t40\n",
        "2": "Uid:\t0\t0\nThreads:\t9\n",
        "self": f"Uid:\t{user}\nCapEff:\t0000000000000000\n",
    }.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "status").write_text(text)
    monkeypatch.setattr(os, "getuid", lambda: user)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (100, 100))
    ulimits.require_room([replace(SLOT, threads=14)] * 4, tmp_path)  # 40 + 2 + 56
    with pytest.raises(SpecError, match=r"need 62 more .* is 100, and 40 are in use"):
        ulimits.require_room([replace(SLOT, threads=15)] * 4, tmp_path)
    (tmp_path / "self" / "status").write_text("CapEff:\t0000000001000000\n")  # CAP_SYS_RESOURCE
    ulimits.require_room([replace(SLOT, threads=15)] * 4, tmp_path)


FULL = """
kept = []
try:
    while True:
        kept.append(open("/dev/null"))
except OSError:
    for _ in range({n_left}):
        kept.pop().close()
"""
START = """
import resource, sys
from pathlib import Path
from launchers import SpawnError, WorkerSpec, start_worker
resource.setrlimit(resource.{name}, ({limit}, {limit}))
{full}
try:
    start_worker(WorkerSpec((sys.executable, "-c", "pass"), None, dict(), Path.cwd(), Path("w.log")))
except SpawnError as error:
    print(error)
"""


@pytest.mark.parametrize("n_left", [0, 1])
def test_a_limit_of_files_that_is_met_in_the_midst_is_named(tmp_path: Path, n_left: int) -> None:
    script = START.format(name="RLIMIT_NOFILE", limit=20, full=FULL.format(n_left=n_left))
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert "Too many open files. The limit of open files is reached (ulimit -n is 20)" in done.stdout, done


def test_a_limit_of_processes_that_is_met_in_the_midst_is_named(cli) -> None:
    script = START.format(name="RLIMIT_NPROC", limit=1, full="")
    command = [*as_user(cli.cwd), sys.executable, "-c", script]
    done = subprocess.run(command, cwd=cli.cwd, env=cli.env, capture_output=True, text=True)
    assert "The limit of processes is reached (ulimit -u is 1, or" in done.stdout, done
