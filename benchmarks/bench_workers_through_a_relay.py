"""What does it cost many workers to go through a relay, and how many connections does it save?

Workers are the processes of bench_many_workers.py: an objective of 20 ms with two parameters and one report.
Each width is run with a connection for each worker ("direct") and through a relay in a process of its own,
as an agent lends it to its workers ("relay"), in turns, from a new study each. Counted are trials a second,
and the connections to the server while they work (for SQLite: who has the file open).

    python benchmarks/bench_workers_through_a_relay.py mysql://root@localhost/nano?unix_socket=/tmp/db/s.sock
        [--workers 1 4 16 64] [--seconds 6] [--rounds 3] [--connections 4]

Expected, before it was first run: an answer by way of a relay costs two more trips through a socket and some
Python, 0.2 ms; a trial has about six of them. So one worker loses 5 % against 25 ms a trial; where the
processor is the limit (64 workers on 2 cores) a quarter is lost; connections stay at 4.

Found (2 shared cores, busy with other work, 3 rounds of 3 s): a trial has 13 such trips, so one worker loses
5 to 10 % of 20 to 40 trials a second, 4 lose 9 % (MariaDB) and 23 % (SQLite), 16 lose 34 % and 26 %, where
the processor is the limit; 64 on MariaDB showed no loss (one round, on a machine too busy to say more). A
statement takes 0.28 ms instead of 0.04 (MariaDB), 0.12 instead of 0.02 (SQLite). Connections stay at 4.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import sqlalchemy as sa
from bench_many_workers import measure

LEND = """
import sys
from orchestrator.relay.lend import lend_to_this_machine
with lend_to_this_machine(sys.argv[1], int(sys.argv[2])) as relay:
    print(relay.url, flush=True)
    sys.stdin.read()
"""
WAYS = ("direct", "relay")


@contextmanager
def way(name: str, url: str, n_connections: int) -> Iterator[str]:
    """The URL that workers are given."""
    if name == "direct":
        yield url
        return
    command = [sys.executable, "-c", LEND, url, str(n_connections)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as lender:
        assert lender.stdout is not None
        yield lender.stdout.readline().strip()
        lender.communicate()


@contextmanager
def counter(url: str) -> Iterator[Callable[[], int]]:
    """Counts who is connected to the database at a moment, but for us."""
    if url.startswith("sqlite"):
        path = str(Path(sa.make_url(url).database or "").resolve())
        yield lambda: sum(has_open(folder, path) for folder in Path("/proc").glob("[0-9]*"))
        return
    query = "SELECT COUNT(*) - 1 FROM information_schema.processlist WHERE db = DATABASE()"
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        yield lambda: int(connection.exec_driver_sql(query).scalar_one())


def has_open(process: Path, path: str) -> bool:
    try:
        return any(str(link.readlink()) == path for link in (process / "fd").iterdir())
    except OSError:
        return False


def run(name: str, url: str, n_workers: int, seconds: float, n_connections: int) -> tuple[float, int]:
    """Trials a second, and the connections in the midst of it."""
    seen, is_over = [0], threading.Event()

    def watch() -> None:
        with counter(url) as count:
            while not is_over.wait(0.5):
                seen.append(count())

    with way(name, url, n_connections) as given:
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            rate = measure("ours", given, n_workers, seconds)["rate"]
        finally:
            is_over.set()
            watcher.join()
    return rate, max(seen)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=4)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print("workers   direct /s  connections    relay /s  connections   relay/direct", flush=True)
    for n_workers in options.workers:
        rates: dict[str, list[float]] = {name: [] for name in WAYS}
        connections = dict.fromkeys(WAYS, 0)
        for _ in range(options.rounds):
            for name in WAYS:
                rate, n = run(name, options.url, n_workers, options.seconds, options.connections)
                rates[name].append(rate)
                connections[name] = max(connections[name], n)
        direct, relay = (statistics.median(rates[name]) for name in WAYS)
        cells = f"{direct:12.1f}{connections['direct']:13d}{relay:12.1f}{connections['relay']:13d}"
        print(f"{n_workers:7}{cells}{relay / direct:15.2f}", flush=True)


if __name__ == "__main__":
    main()
