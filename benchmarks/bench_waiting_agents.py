"""What does an agent cost that has nothing to do but wait?

Two ranks of ``nano-hpo run`` share a run of two trials. One trial ends at once, the other only when it is
told to: the agent of the first has no work left and waits for the other to end the run; the agent of the
other waits for its worker, which sleeps. Their processor time is read from /proc over some seconds, and that
of the sleeping worker's process as well.

    python benchmarks/bench_waiting_agents.py mysql://root@localhost/nano?unix_socket=/tmp/db/s.sock
        [--seconds 20] [--launcher "srun --ntasks=2"]

Without a launcher the two are given the environment of tasks of Slurm. With one it is to start two processes.

Expected, before it was first run: an agent wakes four times a second to look at its worker, and writes a
heartbeat now and then, 0.3 % of a core; one that waits for others asks the database once a second, 0.5 %.

Found (2 shared cores, 20 s each): 0.10 to 0.15 % with a sleeping worker and 0.35 to 0.40 % when waiting for
the other, the same with Slurm's environment, under ``srun`` on one node and on two, and under ``mpirun``; the
worker itself 0.05 % at most.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import psutil
from bench_start_of_many_agents import QUIET, environments

OBJECTIVE = """
import os, time
from pathlib import Path

def objective(trial):
    Path(f"began-{trial.number}").touch()
    while trial.number == 0 and not Path("go").exists():
        time.sleep(1.0)
    return 0.0
"""
SETTLE_S, PATIENCE_S = 5.0, 60.0


def start(url: str, launcher: str, folder: Path) -> list[subprocess.Popen[bytes]]:
    words = ["run", "train.py:objective", "--n-trials", "2", "--draw", "none", "--oversubscribe"]
    words += ["--study-name", f"waits-{uuid.uuid4().hex[:8]}", "--storage", url, "--walltime", "none"]
    command = [str(Path(sys.executable).with_name("nano-hpo")), *words]
    if launcher:
        return [subprocess.Popen([*shlex.split(launcher), *command], cwd=folder, **QUIET)]
    environs = environments("ours", 2)
    return [subprocess.Popen(command, cwd=folder, env=environ, **QUIET) for environ in environs]


def agents(folder: Path) -> list[psutil.Process]:
    """Processes of ``nano-hpo`` that work in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            words, place = process.cmdline(), process.cwd()
        except psutil.Error:
            continue
        if place == str(folder) and any(Path(word).name == "nano-hpo" for word in words[:2]):
            found.append(process)
    return [one for one in found if Path(one.exe()).name.startswith("python")]


def used_s(processes: list[psutil.Process]) -> list[float]:
    return [sum(process.cpu_times()[:2]) for process in processes]


def has_worker(agent: psutil.Process) -> bool:
    return any("orchestrator.worker" in child.cmdline() for child in agent.children())


def await_state(folder: Path) -> tuple[psutil.Process, psutil.Process]:
    """The agent that waits for the other, and the other, once they do."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        time.sleep(SETTLE_S)
        there = sorted(agents(folder), key=has_worker)
        if [has_worker(one) for one in there] == [False, True] and (folder / "began-1").exists():
            return there[0], there[1]
    raise TimeoutError(f"the agents in {folder} did not come to wait")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--launcher", default="")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(os.path.realpath(place))
        (folder / "train.py").write_text(OBJECTIVE)
        started = start(options.url, options.launcher, folder)
        idle, busy = await_state(folder)
        watched = [busy, idle, *busy.children(recursive=True)]
        before, at_s = used_s(watched), time.monotonic()
        time.sleep(options.seconds)
        spent_s, after = time.monotonic() - at_s, used_s(watched)
        (folder / "go").touch()
        codes = [one.wait() for one in started]
    shares = [(b - a) / spent_s for a, b in zip(before, after, strict=True)]
    print(f"an agent whose worker sleeps       {shares[0]:7.2%} of a core")
    print(f"an agent that waits for the other  {shares[1]:7.2%} of a core")
    print(f"the sleeping worker, with helpers  {sum(shares[2:]):7.2%} of a core")
    print(f"exit codes: {codes}")


if __name__ == "__main__":
    main()
