"""How long does it take many agents that start together until each of them runs a trial?

N processes of ``nano-hpo run`` are ranks of one launch on one node, as ``srun`` would start them, with a new,
empty database on MariaDB: they make its tables, the study and the run, each starts a worker, and every worker
gets one trial, which waits until all have one. Rival: N processes of plain Optuna (``create_study`` with
``load_if_exists``, then ``optimize``) that do the same in a process each. Both in turns; medians of the
rounds. "First" and "last" are the seconds from the first process's start to the first trial's and to the last
agent's first. The statements (MariaDB's Questions) and connections are those until then, divided by N.

    python benchmarks/bench_start_of_many_agents.py mysql://root@localhost/nano?unix_socket=/tmp/db/s.sock
        [--agents 1 4 16 64] [--rounds 3] [--ways ours plain]

The database named in the URL is dropped and made anew for each round; the server should be idle otherwise.

Expected, before it was first run: starting is Python's imports, 1 s of a core for an agent and 1 s for its
worker, and 0.7 s for plain Optuna. So on two cores the last of 64 agents has its trial after 65 s and the
last of 64 plain processes after 25 s, a ratio of 2.5 to 3 at any width above 1; on a cluster, where every
node has cores of its own, it is what one agent takes. The database is not the limit: 60 statements an agent,
more for rank 0, and polling while the others wait adds some. Plain Optuna has failures from 4 on: its
processes make the same tables.

Found (2 shared cores, busy with other work; 3 rounds, of 64 agents one): as expected the imports, and at most
1.8 to 2.6 times what plain Optuna takes. Of its processes a third to two thirds failed where several made the
tables, and are counted neither in "first" nor in "last". The statements are twice as many as expected: an
agent opens 7 connections until it works, at ten statements each, and SQLAlchemy ends each use of one by a
ROLLBACK (40 % of all).

    agents  way     first (s)  last (s)  SQL/agent  connections/agent  failed   last/last of plain
         1  ours         2.61      2.61      215.0                9.0       0                 1.76
         1  plain        1.48      1.48      109.0                3.0       0                 1.00
         4  ours         4.50      7.75      166.0                7.2       0                 2.63
         4  plain        2.95      2.95       54.5                1.8       8                 1.00
        16  ours        14.61     25.22      154.9                6.8       0                 2.39
        16  plain       10.16     10.56       77.4                1.8      23                 1.00
        64  ours        31.71     82.46      155.4                6.8       0                 1.77
        64  plain       40.91     46.68       79.1                2.0      19                 1.00
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import sqlalchemy as sa

OBJECTIVE = """
import os, time
from pathlib import Path

def objective(trial):
    x = trial.suggest_float("x", -5, 5)
    began_s = time.time()
    Path(f".{os.getpid()}").write_text(str(began_s))
    Path(f".{os.getpid()}").rename(f"began-{os.getpid()}")
    while not Path("go").exists():
        time.sleep(0.1)
    return x * x
"""
PLAIN = """
import sys
import optuna
from train import objective

optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.create_study(study_name="s", storage=sys.argv[1], load_if_exists=True)
study.optimize(objective, n_trials=1)
"""
PATIENCE_S = 600.0


class Server:
    """The server beside the database of a URL."""

    def __init__(self, url: str) -> None:
        self._url = sa.make_url(url)
        self._engine = sa.create_engine(self._url.set(database=""), poolclass=sa.pool.NullPool)

    def empty(self) -> None:
        """Make the database anew."""
        name = self._url.database
        with self._engine.connect() as c:
            c.exec_driver_sql(f"DROP DATABASE IF EXISTS `{name}`")
            c.exec_driver_sql(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")

    def counters(self) -> tuple[int, int]:
        """Statements and connections since its start."""
        with self._engine.connect() as c:
            status = dict(
                c.exec_driver_sql(
                    "SHOW GLOBAL STATUS WHERE Variable_name IN ('Questions', 'Connections')"
                ).all()
            )
        return int(status["Questions"]), int(status["Connections"])


def environments(way: str, n: int) -> list[dict[str, str]]:
    """Of each process: as tasks of a step of Slurm, or as they are."""
    if way == "plain":
        return [dict(os.environ)] * n
    step = {"SLURM_STEP_ID": "0", "SLURM_NTASKS": str(n), "SLURM_STEP_TASKS_PER_NODE": str(n)}
    step["SLURM_NODEID"] = "0"
    tasks = [{**step, "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)} for rank in range(n)]
    return [{**os.environ, **task} for task in tasks]


def command(way: str, url: str, n: int) -> list[str]:
    if way == "plain":
        return [sys.executable, "plain.py", url]
    words = (
        f"run train.py:objective --n-trials {n} --study-name s --draw none --oversubscribe --walltime none"
    )
    return [str(Path(sys.executable).with_name("nano-hpo")), *words.split(), "--storage", url]


def measure(way: str, url: str, server: Server, n: int) -> dict[str, float]:
    """One round."""
    server.empty()
    before = server.counters()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "train.py").write_text(OBJECTIVE)
        (folder / "plain.py").write_text(PLAIN)
        begin_s = time.time()
        started = [
            subprocess.Popen(command(way, url, n), cwd=folder, env=environ, **QUIET)
            for environ in environments(way, n)
        ]
        began_s = await_trials(folder, started)
        after = server.counters()
        (folder / "go").touch()
        codes = [process.wait() for process in started]
    failed = sum(code != 0 for code in codes)
    return {
        "first": min(began_s) - begin_s,
        "last": max(began_s) - begin_s,
        "failed": failed,
        "statements": (after[0] - before[0]) / n,
        "connections": (after[1] - before[1]) / n,
    }


QUIET: Mapping[str, int] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def await_trials(folder: Path, started: Sequence[subprocess.Popen[bytes]]) -> list[float]:
    """When the trials began, once every process that has not ended has one."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        alive = sum(process.poll() is None for process in started)
        files = list(folder.glob("began-*"))
        if len(files) >= alive or time.monotonic() > deadline:
            return [float(file.read_text()) for file in files] or [float("nan")]
        time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("--agents", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", default=["ours", "plain"])
    options = parser.parse_args()
    server = Server(options.url)
    print("agents  way     first (s)  last (s)  SQL/agent  connections/agent  failed   last/last of plain")
    for n in options.agents:
        seen: dict[str, list[dict[str, float]]] = {way: [] for way in options.ways}
        for _ in range(options.rounds):
            for way in options.ways:
                seen[way].append(measure(way, options.url, server, n))
        rows = {
            way: {key: statistics.median(one[key] for one in some) for key in some[0]}
            for way, some in seen.items()
        }
        for way, row in rows.items():
            cells = f"{n:6}  {way:6}{row['first']:11.2f}{row['last']:10.2f}{row['statements']:11.1f}"
            cells += f"{row['connections']:19.1f}{sum(one['failed'] for one in seen[way]):8.0f}"
            ratio = f"{row['last'] / rows['plain']['last']:21.2f}" if "plain" in rows else ""
            print(cells + ratio, flush=True)


if __name__ == "__main__":
    main()
