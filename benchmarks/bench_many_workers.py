"""How many trials a second do many workers get through one database?

Workers are processes that share one study; the objective suggests two parameters, sleeps 20 ms and reports
once; the sampler is random, so what is measured is the storage. Each width is run as our workers (claims of
one run, with tickets) and as plain Optuna, in turns, from a new study each. A worker's start is not counted:
all wait for one moment, then work for some seconds. The ideal is workers / 20 ms.

    python benchmarks/bench_many_workers.py mysql://root@localhost/nano?unix_socket=/tmp/db/s.sock
        [--workers 1 4 16 64] [--seconds 8] [--rounds 3] [--ways ours plain]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
import uuid
from typing import Any

import optuna
from bench_cost_of_a_trial import Silent

SLEEP_S = 0.02


def objective(trial: optuna.Trial) -> float:
    x, y = trial.suggest_float("x", -5, 5), trial.suggest_float("y", -5, 5)
    time.sleep(SLEEP_S)
    trial.report(x, 0)
    return x * x + y * y


def work(way: str, url: str, name: str, run_id: str) -> None:
    """One worker: says that it is ready, waits for the moments of beginning and end, prints its trials."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    one_trial = (ours if way == "ours" else plain)(url, name, run_id)
    print("ready", flush=True)
    begin_s, end_s = map(float, sys.stdin.readline().split())
    time.sleep(max(0.0, begin_s - time.time()))
    n = failed = 0
    while time.time() < end_s:
        try:
            one_trial()
            n += 1
        except Exception as error:  # plain Optuna gives up when the database is in the way
            failed += 1
            print(repr(error)[:200], file=sys.stderr)
    print(json.dumps({"trials": n, "failed": failed}))


def ours(url: str, name: str, run_id: str) -> Any:
    from orchestrator.orders import WorkOrder
    from orchestrator.run_study import open_run_study
    from orchestrator.trial_loop import run_one

    order = WorkOrder(
        storage_url=url,
        storage_patience_s=300.0,
        study_name=name,
        run_id=run_id,
        agent_id="bench",
        seed=1,
        sampler="random",
        sampler_args={},
        pruner="none",
        pruner_args={},
        slot=0,
        cpu_model="",
        binding=None,
    )
    study, storage = open_run_study(order, {}, Silent())
    return lambda: run_one(study, storage, storage.ask(study), objective, 1, Silent())


def plain(url: str, name: str, run_id: str) -> Any:
    study = optuna.load_study(study_name=name, storage=url, sampler=optuna.samplers.RandomSampler())
    return lambda: study.optimize(objective, n_trials=1)


def begin(way: str, url: str, name: str) -> str:
    """A new study, and for our workers a run on it; the run's id."""
    if way == "plain":
        optuna.create_study(study_name=name, storage=url)
        return "-"
    from optuna.study import StudyDirection

    from orchestrator.spec import RunSpec
    from orchestrator.sql.opening import open_database
    from orchestrator.storage.runs import RunTable
    from orchestrator.storage.study_storage import StudyStorage

    database = open_database(url)
    study_id = StudyStorage(database).create_new_study([StudyDirection.MINIMIZE], name)
    run_id = uuid.uuid4().hex
    RunTable(database).create(run_id, study_id, RunSpec("bench", name, n_trials=10**9), seed=1)
    database.close()
    return run_id


def measure(way: str, url: str, n_workers: int, seconds: float) -> dict[str, float]:
    """Trials a second of so many workers, and how many of their trials the database spoiled."""
    name = f"many-{way}-{n_workers}-{uuid.uuid4().hex[:6]}"
    run_id = begin(way, url, name)
    command = [sys.executable, __file__, url, "--worker", way, name, run_id]
    pipe = subprocess.PIPE
    workers = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
        for _ in range(n_workers)
    ]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    begin_s = time.time() + 1.0
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(f"{begin_s} {begin_s + seconds}\n")
        worker.stdin.flush()
    said = [json.loads(worker.communicate()[0]) for worker in workers]
    return {
        "rate": sum(one["trials"] for one in said) / seconds,
        "failed": sum(one["failed"] for one in said),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", default=["ours", "plain"])
    parser.add_argument("--worker", nargs=3, metavar=("WAY", "STUDY", "RUN"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if options.worker:
        way, name, run_id = options.worker
        work(way, options.url, name, run_id)
        return
    print(
        "workers  "
        + "".join(f"{way + ' /s':>12}{'failed':>8}" for way in options.ways)
        + "   ratio   ideal /s"
    )
    for n_workers in options.workers:
        seen: dict[str, list[dict[str, float]]] = {way: [] for way in options.ways}
        for _ in range(options.rounds):
            for way in options.ways:
                seen[way].append(measure(way, options.url, n_workers, options.seconds))
        rates = {way: statistics.median(one["rate"] for one in some) for way, some in seen.items()}
        failed = {way: int(sum(one["failed"] for one in some)) for way, some in seen.items()}
        ratio = rates["ours"] / rates["plain"] if len(rates) == 2 else float("nan")
        cells = "".join(f"{rates[way]:12.1f}{failed[way]:8d}" for way in options.ways)
        print(f"{n_workers:7}  {cells}   {ratio:5.2f}   {n_workers / SLEEP_S:8.0f}", flush=True)


if __name__ == "__main__":
    main()
