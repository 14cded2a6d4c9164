"""A run that everything happens to: a seed in; what was done to it, and what it made of it, out.

Workers are killed, an agent is killed and started again by the same command, the database is killed and
started again, connections are cut; trials crash, hang, take too much memory, leave processes behind; the disk
of the logs is full; the clock of an agent is an hour off. What happens when follows from the seed alone, as
far as processes that run at once allow.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.conftest import MariaDB

N_TRIALS = 500
TIMEOUT_S = 15.0  # of a trial: longer than a restart of the database
MEMORY_MIB = 260  # of a trial: a worker without a trial has about 90
FAULTS = ("crash", "crash", "hang", "greed", "litter", "litter", "raise", "raise")  # of trials
BLOWS = ("kill",) * 6 + ("segv",) * 3 + ("agent",) * 2 + ("database",) * 2 + ("cut",) * 4
LOGS_KIB = 300  # the disk of the logs, for which all workers together have more to say

JOB = """
import json, os, random, signal, subprocess, sys, time
from pathlib import Path

FAULTS = json.loads(Path("faults.json").read_text())

def objective(trial):
    x = trial.suggest_float("x", -5, 5)
    trial.suggest_categorical("kind", ["a", "b"])
    trial.report(x, 0)
    print("trial", trial.number, "x" * 2000)
    fault, mark = FAULTS.get(str(trial.number)), Path(f"fault-{trial.number}")
    if fault and not mark.exists():
        mark.touch()
        misbehave(fault)
    time.sleep(random.uniform(0.01, 0.08))
    trial.report(x * x, 1)
    return x * x

def misbehave(fault):
    if fault == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if fault == "hang":
        time.sleep(3600)
    if fault == "greed":
        hoard = bytearray(400 << 20)
        hoard[::4096] = b"x" * len(hoard[::4096])
        time.sleep(3600)
    if fault == "litter":
        subprocess.Popen(["setsid", "sleep", "3601.5"])
        subprocess.Popen("sleep 3601.5 & exec sleep 3601.5", shell=True)
        os.kill(os.getpid(), signal.SIGKILL)
    raise ValueError("as it was told")
"""


@dataclass
class Done:
    """What was done to the run, for the judge."""

    killed: dict[int, str] = field(default_factory=dict)  # workers by pid: the signal's name
    agents: set[int] = field(default_factory=set)  # pids of agents that were killed
    blows: list[str] = field(default_factory=list)


class Storm:
    """One run in a folder of its own, on a server of its own."""

    def __init__(self, seed: int, folder: Path, server: MariaDB) -> None:
        self.rng = random.Random(seed)
        self.folder, self.server = folder, server
        self.n_ranks = self.rng.choice((1, 2))
        self.n_parallels = self.rng.randint(2 if self.n_ranks == 1 else 1, 8 // self.n_ranks)
        self.url = server.create_database()
        self.database = self.url.partition("?")[0].rpartition("/")[2]
        self.done = Done()
        self.faults = self._faults()
        self._agents: list[subprocess.Popen[str]] = []
        self._is_skewed = False
        self._logs = folder / "run" / "logs"

    def _faults(self) -> dict[int, str]:
        numbers = self.rng.sample(range(20, N_TRIALS - 20), len(FAULTS))
        return dict(zip(numbers, FAULTS, strict=True))

    def blow(self) -> str:
        """Run to the end and return what the last agent printed. Whatever ends unexpectedly is raised."""
        (self.folder / "job.py").write_text(JOB)
        (self.folder / "faults.json").write_text(json.dumps(self.faults))
        with small_disk(self._logs):
            return self._blow()

    def _blow(self) -> str:
        try:
            self._agents = [self._start(rank) for rank in range(self.n_ranks)]
            self._strike()
            return self._end()
        finally:
            for agent in self._agents:
                agent.kill()
                agent.communicate()

    def _start(self, rank: int) -> subprocess.Popen[str]:
        environ = {**os.environ, "STORM": str(self.folder)}
        if self.n_ranks > 1:
            environ |= {"OMPI_COMM_WORLD_RANK": str(rank), "OMPI_COMM_WORLD_SIZE": str(self.n_ranks)}
            environ |= {"OMPI_COMM_WORLD_LOCAL_RANK": str(rank)}
            environ |= {"OMPI_COMM_WORLD_LOCAL_SIZE": str(self.n_ranks)}
        if self._is_skewed:
            environ |= skewed_clock(self.folder.parent)
        command = [str(Path(sys.executable).with_name("nano-hpo")), "run", "job.py", "-n", str(N_TRIALS)]
        command += ["-p", str(self.n_parallels), "--oversubscribe", "--storage", self.url, "--run-dir", "run"]
        command += [
            "--trial-timeout",
            str(TIMEOUT_S),
            "--trial-memory",
            f"{MEMORY_MIB}M",
            "--sampler",
            "random",
        ]
        command += ["--study-name", "storm", "--max-retries", "20", "--draw", "html", "--json", "--seed", "1"]
        with (self.folder / f"said-{rank}").open("a") as said:
            return subprocess.Popen(
                command, cwd=self.folder, env=environ, text=True, stdout=subprocess.PIPE, stderr=said
            )

    def _strike(self) -> None:
        """Every blow at its time, that is when so many trials are finished."""
        blows = self.rng.sample(BLOWS, len(BLOWS))
        moments = sorted(self.rng.sample(range(10, N_TRIALS - 30), len(blows)))
        for moment, blow in zip(moments, blows, strict=True):
            self._wait_for(moment)
            if not self._is_at_work():
                return
            self.done.blows.append(blow)
            getattr(self, f"_{blow}")()

    def _wait_for(self, n_finished: int) -> None:
        deadline = time.monotonic() + 240
        while self.n_finished() < n_finished and self._is_at_work():
            assert time.monotonic() < deadline, f"no progress after {self.done.blows}: {self.said()}"
            time.sleep(0.02)

    def _is_at_work(self) -> bool:
        return any(agent.poll() is None for agent in self._agents)

    def n_finished(self) -> int:
        """Trials that are finished, by the database."""
        query = f"SELECT COUNT(*) FROM {self.database}.trials WHERE state IN ('COMPLETE', 'PRUNED', 'FAIL')"
        with suppress(Exception):  # there are no tables yet
            return int(self.server.execute(query)[0][0])
        return -1

    # The blows

    def _kill(self) -> None:
        self._end_worker(signal.SIGKILL)

    def _segv(self) -> None:
        self._end_worker(signal.SIGSEGV)

    def _end_worker(self, number: signal.Signals) -> None:
        workers = [pid for agent in self._agents if agent.poll() is None for pid in workers_of(agent.pid)]
        if workers:
            pid = self.rng.choice(workers)
            with suppress(ProcessLookupError):
                os.kill(pid, number)
                self.done.killed[pid] = number.name

    def _agent(self) -> None:
        """Kill one with all that it has in memory; the same command goes on, perhaps with another clock."""
        rank = self.rng.randrange(self.n_ranks)
        agent = self._agents[rank]
        if agent.poll() is not None:
            return
        self._wait_until_it_works(agent)
        agent.kill()
        agent.communicate()
        self.done.agents.add(agent.pid)
        self._is_skewed = not self._is_skewed
        self._agents[rank] = self._start(rank)
        self._wait_until_it_works(self._agents[rank])

    def _wait_until_it_works(self, agent: subprocess.Popen[str]) -> None:
        """Until it is known to the database."""
        query = f"SELECT COUNT(*) FROM {self.database}.nano_agents WHERE pid = {agent.pid}"
        deadline = time.monotonic() + 60
        while agent.poll() is None and not self.server.execute(query)[0][0]:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def _database(self) -> None:
        self.server.kill()
        time.sleep(self.rng.uniform(0, 1))
        self.server.start()

    def _cut(self) -> None:
        ids = [row[0] for row in self.server.execute("SHOW PROCESSLIST") if row[4] != "Daemon"]
        for one in self.rng.sample(ids[:-1], min(2, len(ids) - 1)):
            with suppress(Exception):  # it has gone by itself
                self.server.execute(f"KILL {one}")

    # The end

    def _end(self) -> str:
        printed = ""
        for agent in self._agents:
            out, _ = agent.communicate(timeout=240)
            assert agent.returncode == 0, (agent.returncode, self.said())
            printed = out or printed
        return printed

    def said(self) -> str:
        """What the agents have said."""
        return "\n".join(path.read_text()[-3000:] for path in sorted(self.folder.glob("said-*")))

    def left_behind(self) -> list[str]:
        """Command lines of processes that the run has left, a moment after its end."""
        deadline = time.monotonic() + 20
        while (found := born_in(self.folder)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found


def workers_of(agent: int) -> list[int]:
    """The worker processes of an agent."""
    with suppress(psutil.Error):
        children = psutil.Process(agent).children()
        return [child.pid for child in children if "orchestrator.worker" in " ".join(child.cmdline())]
    return []


def born_in(folder: Path) -> list[str]:
    """Command lines of all processes that were started by the storm of this folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("STORM") == str(folder):
                found.append(" ".join(process.cmdline()))
    return found


def skewed_clock(folder: Path) -> dict[str, str]:
    """An environment in which it is an hour later."""
    library, source = folder / "later.so", Path(__file__).with_name("later.c")
    if not library.exists():
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library)}


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk with little room there; where nobody may mount one, the log of a slot for which none has."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={LOGS_KIB}k,mode=700", "tmpfs", str(folder)]
    is_mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    if not is_mounted:
        (folder / "rank0-slot0.log").symlink_to("/dev/full")
    try:
        yield
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
