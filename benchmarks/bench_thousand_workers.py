"""How many workers can one study have, and what stops them first?

A worker is a thread with a connection, storage and claims of its own, whose objective sleeps for a second on
average and reports once; fifty workers share a process, a "node". Each width is run with a connection
for each worker ("direct") and with four for each node, which a process beside it lends ("relay"). Wanted are
workers / sleep trials a second. Claim and tell are what a worker waits for before and after its objective.
Processor time of the server and of the clients (nodes and relays) is read while they work, as are the
server's waits for row locks: a claim locks the row of its study, so claims of one study are serial.

    python benchmarks/bench_thousand_workers.py mysql://root@localhost/nano?unix_socket=/tmp/db/s.sock
        [--workers 1 10 100 300 1000] [--per-node 50] [--sleep 1] [--seconds 20] [--ways direct relay]

The account must be allowed to set max_connections, and the server must be on this machine.

Expected, before it was first run: a trial costs the clients 4 ms of processor time and the server 1 ms, so on
two cores, where the clients are the larger part, the curve bends at 300 to 400 trials a second, and a relay
adds another 3 ms: 250. The database alone is bound by the lock of the study's row, held for five answers
and a commit: 3 ms, or 300 claims a second, which 1,000 workers of a second are too many for, and 18,000 of a
minute are not.

Found (2 shared cores, busy with other work, at a raised priority; 15 s a row): the lock of the study's row
comes first, before the processor. Alone a claim holds it for 2.2 ms from the lock to the commit; where the
processor is busy it is 6 to 9 ms, as each of the five answers in it waits for its turn. More workers than
that allows only wait: the rate falls by a third from 200 workers to 1,000, and nothing fails. With four
connections for fifty workers the claims that wait for the row fill the connections, and what running trials
have to tell waits behind them. A core of the server would bear 407 trials/s, and claims in turn, at 5.6 ms
with lock and commit, 179/s: 10,736 workers of a minute.

workers  way   trials/s  wanted  ratio  server clients  server/  clients/  lock/t    claim (ms)     tell (ms)
                                        (cores) (cores)   t (ms)   t (ms)    (ms)   p50     p99    p50     p99
      1  direct      1.0       1   100%   0.00    0.01     4.00     6.67      0.0   5.6    26.1    5.7    21.1
      1  relay       1.0       1   100%   0.01    0.01     7.34    14.67      0.0   5.6     7.1    4.2    55.1
     10  direct      9.9      10    99%   0.04    0.08     3.96     8.33      0.2   6.3   156.6    5.4   113.9
     10  relay       9.9      10    99%   0.04    0.10     3.79    10.61      0.1   7.4    20.7    5.9    16.3
    100  direct     97.5     100    98%   0.24    0.55     2.45     5.64      6.4   5.9    41.8    4.5    39.4
    100  relay      96.7     100    97%   0.24    0.76     2.47     7.85      4.1   8.1    45.6    5.1    18.0
    200  direct    170.5     200    85%   0.41    1.07     2.42     6.26    149.3  56.6   625.6    6.3    36.6
    200  relay     109.1     200    55%   0.26    0.93     2.40     8.52    120.3 347.5   612.3  206.7   489.5
    300  direct    125.4     300    42%   0.41    0.99     3.29     7.90   1430.6  1715    2150    9.9    41.6
    300  relay      93.0     300    31%   0.28    0.95     2.96    10.17    225.9   942    1776    629    1276
   1000  direct    108.1    1000    11%   0.38    0.80     3.51     7.40   8251.4  8167    9221   13.6    46.1
   1000  relay      76.8    1000     8%   0.26    0.95     3.37    12.38    878.5  3323    9052   1170    6901

Workers that begin all at once are slower in their first trial: SQLAlchemy compiles a claim's statements while
the row is locked (4.8 ms instead of 2.2). Before each worker had a trial ahead of the measurement, as now,
1,000 came to 41 trials/s (direct) and 24 (relay), on a machine that was busier still.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import psutil
import sqlalchemy as sa
from bench_cost_of_a_trial import Silent
from bench_many_workers import begin
from bench_workers_through_a_relay import way

N_CONNECTIONS = 4
WARM_UP_S = 5.0
LONG_S = 60.0  # an objective as people have them
STATUS = ("Innodb_row_lock_waits", "Innodb_row_lock_time", "Innodb_deadlocks", "Questions")


class Worker(threading.Thread):
    """Trials in turn from one moment to another: when each ended, and its claim and tell in seconds."""

    def __init__(self, url: str, name: str, run_id: str, slot: int, sleep_s: float) -> None:
        super().__init__()
        self.done: list[tuple[float, float, float]] = []
        self.failed = 0
        self._sleep_s, self._random = sleep_s, random.Random(f"{os.getpid()} {slot}")
        self._study, self._storage = opened(url, name, run_id, slot)
        self._begin_s = self._end_s = self._returned_s = 0.0

    def prime(self) -> None:
        """A trial without sleep: SQLAlchemy compiles what it sees for the first time."""
        sleep_s, self._sleep_s = self._sleep_s, 0.0
        self._one()
        self._sleep_s = sleep_s
        self.done.clear()

    def work(self, begin_s: float, end_s: float) -> None:
        """Start."""
        self._begin_s, self._end_s = begin_s, end_s
        self.start()

    def run(self) -> None:
        """Not all begin in one moment: they would go on in step."""
        time.sleep(max(0.0, self._begin_s - time.time()) + self._random.uniform(0, self._sleep_s))
        while time.time() < self._end_s:
            try:
                self._one()
            except Exception as error:
                self.failed += 1
                print(repr(error)[:300], file=sys.stderr)

    def _one(self) -> None:
        from orchestrator.trial_loop import run_one

        asked_s = time.time()
        trial = self._storage.ask(self._study)
        claimed_s = time.time()
        run_one(self._study, self._storage, trial, self._objective, 1, Silent())
        now_s = time.time()
        self.done.append((now_s, claimed_s - asked_s, now_s - self._returned_s))

    def _objective(self, trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", -5, 5)
        time.sleep(self._random.uniform(0.5, 1.5) * self._sleep_s)
        trial.report(x, 0)
        self._returned_s = time.time()
        return x * x


def opened(url: str, name: str, run_id: str, slot: int) -> Any:
    from orchestrator.orders import WorkOrder
    from orchestrator.run_study import open_run_study

    who = {"study_name": name, "run_id": run_id, "agent_id": "bench", "slot": slot, "seed": 1}
    how = {"sampler": "random", "sampler_args": {}, "pruner": "none", "pruner_args": {}}
    order = WorkOrder(
        storage_url=url,
        storage_patience_s=300.0,
        cpu_model="",
        binding=None,
        **who,
        **how,  # type: ignore[arg-type]
    )
    return open_run_study(order, {}, Silent())


def node(url: str, kind: str, name: str, run_id: str, n_workers: int, sleep_s: float) -> None:
    """A process of workers: says that it is ready, hears when to begin and end, prints what they did."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with way(kind, url, N_CONNECTIONS) as given:
        workers = [Worker(given, name, run_id, slot, sleep_s) for slot in range(n_workers)]
        for worker in workers:
            worker.prime()
        print("ready", flush=True)
        begin_s, end_s = map(float, sys.stdin.readline().split())
        for worker in workers:
            worker.work(begin_s, end_s)
        for worker in workers:
            worker.join()
    done = [one for worker in workers for one in worker.done if one[0] < end_s]
    print(json.dumps({"done": done, "failed": sum(worker.failed for worker in workers)}))


class Server:
    """What a local server has used and waited for so far."""

    def __init__(self, url: str) -> None:
        self._engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
        pid_file = self._ask("SELECT @@pid_file")[0][0]
        self.process = psutil.Process(int(Path(pid_file).read_text()))

    def _ask(self, statement: str) -> list[Any]:
        with self._engine.connect() as c:
            return list(c.exec_driver_sql(statement))

    def make_room(self, n_connections: int) -> None:
        """Let so many connect."""
        with self._engine.connect() as c:
            c.exec_driver_sql(f"SET GLOBAL max_connections = {n_connections}")

    def counters(self) -> dict[str, float]:
        """Of its status, and its processor time."""
        found = {name: float(value) for name, value in self._ask("SHOW GLOBAL STATUS") if name in STATUS}
        return {**found, "cpu": cpu_s([self.process])}


def cpu_s(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


@contextmanager
def nodes(
    url: str, kind: str, n_workers: int, per_node: int, sleep_s: float
) -> Iterator[list[subprocess.Popen[str]]]:
    """The processes of so many workers, once all of them are ready."""
    name = f"thousand-{kind}-{n_workers}-{os.urandom(3).hex()}"
    words = [sys.executable, __file__, url, "--node", kind, name, begin("ours", url, name)]
    sizes = [min(per_node, n_workers - first) for first in range(0, n_workers, per_node)]
    pipe = subprocess.PIPE
    started = [
        subprocess.Popen([*words, str(size), str(sleep_s)], stdin=pipe, stdout=pipe, text=True)
        for size in sizes
    ]
    for one in started:
        assert one.stdout is not None
        assert one.stdout.readline().strip() == "ready"
    yield started


def measure(
    url: str, kind: str, n_workers: int, per_node: int, sleep_s: float, seconds: float
) -> dict[str, float]:
    server = Server(url)
    server.make_room(2 * n_workers + 100)
    with nodes(url, kind, n_workers, per_node, sleep_s) as started:
        clients = [psutil.Process(one.pid) for one in started]
        clients += [child for one in clients for child in one.children(recursive=True)]
        begin_s = time.time() + 1.0
        first_s = begin_s + 1.5 * sleep_s + WARM_UP_S
        end_s = first_s + seconds
        for one in started:
            assert one.stdin is not None
            one.stdin.write(f"{begin_s} {end_s}\n")
            one.stdin.flush()
        time.sleep(first_s - time.time())
        before, used_s, at_s = server.counters(), cpu_s(clients), time.time()
        psutil.cpu_percent()
        time.sleep(end_s - time.time())
        busy = psutil.cpu_percent() / 100
        spent_s = time.time() - at_s
        after, used_s = server.counters(), cpu_s(clients) - used_s
        said = [json.loads(one.communicate()[0]) for one in started]
    done = [one for node_said in said for one in node_said["done"] if one[0] >= first_s]
    change = {key: after[key] - before[key] for key in after}
    return {
        "rate": len(done) / seconds,
        "wanted": n_workers / sleep_s,
        "failed": sum(one["failed"] for one in said),
        "server_cpu": change["cpu"] / spent_s,
        "client_cpu": used_s / spent_s,
        "busy": busy,
        "questions": change["Questions"] / max(1, len(done)),
        "lock_wait_ms": change["Innodb_row_lock_time"] / max(1, len(done)),
        "deadlocks": change["Innodb_deadlocks"],
        **{f"claim_{q}": quantile([one[1] for one in done], q) for q in (50, 99)},
        **{f"tell_{q}": quantile([one[2] for one in done], q) for q in (50, 99)},
    }


def quantile(values: list[float], percent: int) -> float:
    """In milliseconds."""
    return 1000 * statistics.quantiles(values, n=100)[percent - 1] if len(values) > 1 else float("nan")


def bottleneck(seen: dict[str, float]) -> str:
    """The study's row: claims wait for it most of the time; processor: of this machine."""
    if seen["rate"] >= 0.9 * seen["wanted"]:
        return "none"
    if seen["lock_wait_ms"] > 0.5 * seen["claim_50"]:
        return f"row of the study, {1000 / seen['rate']:.1f} ms a claim"
    used = (seen["client_cpu"] + seen["server_cpu"]) / (psutil.cpu_count() or 1)
    return "processor" if used > 0.8 else "few connections"


def line(n_workers: int, kind: str, seen: dict[str, float]) -> str:
    cells = f"{n_workers:7}  {kind:6}{seen['rate']:9.1f}{seen['wanted']:8.0f}"
    cells += f"{seen['rate'] / seen['wanted']:7.0%}{seen['failed']:7.0f}"
    cells += f"{seen['server_cpu']:8.2f}{seen['client_cpu']:8.2f}{seen['busy']:6.0%}"
    cells += f"{1000 * seen['server_cpu'] / seen['rate']:9.2f}{1000 * seen['client_cpu'] / seen['rate']:9.2f}"
    cells += f"{seen['questions']:7.1f}{seen['lock_wait_ms']:9.1f}{seen['deadlocks']:6.0f}"
    cells += "".join(f"{seen[f'{what}_{q}']:8.1f}" for what in ("claim", "tell") for q in (50, 99))
    return f"{cells}  {bottleneck(seen)}"


def limits(seen: dict[str, float]) -> str:
    """What the database alone would bear, by what a trial of few workers costs it."""
    by_core, by_row = seen["rate"] / seen["server_cpu"], 1000 / seen["claim_50"]
    claims = f"claims in turn, {seen['claim_50']:.1f} ms each, come to {by_row:.0f}/s"
    n_workers = LONG_S * min(by_core, by_row)
    return (
        f"A core of the server is worth {by_core:.0f} trials/s; {claims}. That is {n_workers:.0f} workers "
        f"whose trials take {LONG_S:.0f} s."
    )


HEAD = (
    "workers  way   trials/s  wanted  ratio failed  server clients  busy  server/  clients/  SQL/  lock/t"
    "  dead-    claim (ms)      tell (ms)     bottleneck\n"
    "                                               (cores) (cores)      t (ms)   t (ms)     t    (ms)"
    "  locks   p50     p99     p50     p99"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 10, 100, 300, 1000])
    parser.add_argument("--per-node", type=int, default=50)
    parser.add_argument("--sleep", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--ways", nargs="+", default=["direct", "relay"])
    parser.add_argument("--node", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if options.node:
        kind, name, run_id, n_workers, sleep_s = options.node
        node(options.url, kind, name, run_id, int(n_workers), float(sleep_s))
        return
    print(HEAD, flush=True)
    direct = []
    for n_workers in options.workers:
        for kind in options.ways:
            seen = measure(options.url, kind, n_workers, options.per_node, options.sleep, options.seconds)
            print(line(n_workers, kind, seen), flush=True)
            if kind == "direct" and bottleneck(seen) == "none":
                direct.append(seen)
    if direct:
        print(limits({**direct[-1], "claim_50": min(seen["claim_50"] for seen in direct)}))


if __name__ == "__main__":
    main()
