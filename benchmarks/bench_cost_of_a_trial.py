"""What does one trial cost the database and the worker, with a history behind it?

A worker of a run (ours) and plain Optuna take turns on copies of one study: 6 parameters, 5 reports, each
followed by ``should_prune``, with the same sampler and the median pruner. SQL statements and commits are
counted where they leave SQLAlchemy (BEGIN, COMMIT and ROLLBACK are not statements); the seconds are those of
whole trials, and the objective itself costs nothing. The first trials, which read the history, are left out.

    python benchmarks/bench_cost_of_a_trial.py mysql://root@localhost/nano?unix_socket=/tmp/db/s.sock
        [--history 10000] [--trials 40] [--rounds 3] [--samplers random tpe] [--ways ours plain]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy as sa
from large_study import N_REPORTS, loss, suggest

WARM_UP = 3
NOT_STATEMENTS = ("BEGIN", "COMMIT", "ROLLBACK", "PRAGMA", "SET ", "SELECT @@", "SELECT VERSION")


class Counted:
    """Statements and commits of every SQLAlchemy engine of this process."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.commits = 0
        sa.event.listen(sa.Engine, "before_cursor_execute", self._execute)
        sa.event.listen(sa.Engine, "commit", self._commit)

    def _execute(self, _c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith(NOT_STATEMENTS):
            self.statements.append(statement)

    def _commit(self, _c: Any) -> None:
        self.commits += 1


def objective(trial: optuna.Trial) -> float:
    value = loss(suggest(trial))
    for step in range(N_REPORTS):
        trial.report(value + (N_REPORTS - step) * 0.1, step)
        trial.should_prune()
    return value


@contextmanager
def our_worker(url: str, name: str, sampler: str, n_trials: int) -> Iterator[Any]:
    """One trial after the other as a worker of a run does them: claim, objective, end."""
    from orchestrator.host import this_process
    from orchestrator.orders import WorkOrder
    from orchestrator.run_study import open_run_study
    from orchestrator.spec import RunSpec
    from orchestrator.sql.opening import open_database
    from orchestrator.storage.runs import RunTable
    from orchestrator.storage.study_storage import StudyStorage
    from orchestrator.trial_loop import run_one

    database = open_database(url)
    study_id = StudyStorage(database).get_study_id_from_name(name)
    run_id, agent_id = uuid.uuid4().hex, uuid.uuid4().hex
    runs = RunTable(database)
    runs.create(run_id, study_id, RunSpec("bench", name, n_trials=n_trials), seed=1)
    runs.register_agent(agent_id, run_id, 0, this_process())
    order = WorkOrder(
        storage_url=url,
        storage_patience_s=300.0,
        study_name=name,
        run_id=run_id,
        agent_id=agent_id,
        seed=1,
        sampler=sampler,
        sampler_args={},
        pruner="median",
        pruner_args={},
        slot=0,
        cpu_model="",
        binding=None,
    )
    study, storage = open_run_study(order, {}, Silent(), database)
    yield lambda: run_one(study, storage, storage.ask(study), objective, 1, Silent())
    runs.end(run_id, "finished", None)
    database.close()


class Silent:
    """Nobody follows."""

    def __getattr__(self, _name: str) -> Any:
        return lambda *_: None


@contextmanager
def plain_optuna(url: str, name: str, sampler: str, n_trials: int) -> Iterator[Any]:
    kinds = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}
    study = optuna.load_study(
        study_name=name,
        storage=url,
        sampler=kinds[sampler](seed=1),
        pruner=optuna.pruners.MedianPruner(),
    )
    yield lambda: study.optimize(objective, n_trials=1)


def measure(way: str, url: str, name: str, sampler: str, n_trials: int) -> dict[str, float]:
    """In this process: medians of seconds, means of counts."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    opened = our_worker if way == "ours" else plain_optuna
    seconds, cpu_s = [], 0.0
    with opened(url, name, sampler, n_trials + WARM_UP) as one_trial:
        for _ in range(WARM_UP):
            one_trial()
        counted = Counted()
        for _ in range(n_trials):
            start, start_cpu = time.perf_counter(), time.process_time()
            one_trial()
            seconds.append(time.perf_counter() - start)
            cpu_s += time.process_time() - start_cpu
    return {
        "ms": statistics.median(seconds) * 1e3,
        "cpu_ms": cpu_s / n_trials * 1e3,
        "statements": len(counted.statements) / n_trials,
        "commits": counted.commits / n_trials,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("--history", type=int, nargs="+", default=[10_000])
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samplers", nargs="+", default=["random", "tpe"])
    parser.add_argument("--ways", nargs="+", default=["ours", "plain"])
    parser.add_argument("--one", nargs=3, metavar=("WAY", "STUDY", "SAMPLER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        way, name, sampler = options.one
        print(json.dumps(measure(way, options.url, name, sampler, options.trials)))
        return
    for history in options.history:
        for sampler in options.samplers:
            compare(options, history, sampler)


def compare(options: argparse.Namespace, history: int, sampler: str) -> None:
    """Each way on a study of its own, filled alike, in turns."""
    names = {way: f"cost-{history}-{sampler}-{way}-{uuid.uuid4().hex[:6]}" for way in options.ways}
    filler = Path(__file__).with_name("large_study.py")
    for name in names.values():
        subprocess.run(
            [sys.executable, filler, options.url, name, str(history)], check=True, stdout=subprocess.DEVNULL
        )
    seen: dict[str, list[dict[str, float]]] = {way: [] for way in names}
    for _ in range(options.rounds):
        for way, name in names.items():
            command = [sys.executable, __file__, options.url, "--trials", str(options.trials)]
            done = subprocess.run(
                [*command, "--one", way, name, sampler], check=True, capture_output=True, text=True
            )
            seen[way].append(json.loads(done.stdout.splitlines()[-1]))
    print(f"{history} trials of history, {sampler}:")
    middle = {
        way: {what: statistics.median(one[what] for one in some) for what in some[0]}
        for way, some in seen.items()
    }
    for way, found in middle.items():
        print(
            f"  {way:5}  {found['ms']:8.1f} ms ({found['cpu_ms']:.1f} of the worker's CPU)"
            f"  {found['statements']:6.1f} statements  {found['commits']:5.1f} commits"
        )
    if len(middle) == 2:
        ratio = middle["plain"]["ms"] / middle["ours"]["ms"]
        print(f"  plain Optuna takes {ratio:.1f} times as long", flush=True)


if __name__ == "__main__":
    main()
