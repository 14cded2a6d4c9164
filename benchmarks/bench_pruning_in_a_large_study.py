"""What does should_prune cost in a large study? Our pruners against Optuna's, on our storage and on Optuna's.

Each way is a process that goes on with the same finished study (5 reports a trial; every trial has passed
rung 0 of successive halving, every fourth the next) by a few trials of 5 reports: milliseconds of the first
should_prune, which reads what the pruner needs, and of the median and the slowest one after the first trial.

    python benchmarks/bench_pruning_in_a_large_study.py URL [--trials N …]

URL names an empty database, as mysql://root@localhost/bench?unix_socket=… or sqlite:////tmp/bench.db.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import sqlalchemy as sa
from optuna.storages._rdb import models

WORK = """
import statistics, sys, time, warnings
import optuna
from optuna import pruners
from orchestrator import open_storage
from orchestrator.sampling import flat_pruners
optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.simplefilter("ignore")
kind, way, url, name = sys.argv[1:]
pruner = getattr(flat_pruners, f"Flat{kind}") if way == "flat" else getattr(pruners, kind)
storage = url if way == "plain" else open_storage(url)
random = optuna.samplers.RandomSampler()
study = optuna.load_study(study_name=name, storage=storage, sampler=random, pruner=pruner())
took_ms = []
for _ in range(6):
    trial = study.ask()
    for step in range(5):
        trial.report(1.0 + step, step)
        start = time.perf_counter()
        trial.should_prune()
        took_ms.append(1000 * (time.perf_counter() - start))
    study.tell(trial, 1.0)
print(f"{took_ms[0]:10.1f} {statistics.median(took_ms[5:]):10.2f} {max(took_ms[5:]):10.2f}")
"""
KINDS = ("MedianPruner", "SuccessiveHalvingPruner", "HyperbandPruner")
WAYS = {
    "flat": "ours",
    "on our storage": "Optuna's on our storage",
    "plain": "Optuna's on Optuna's storage",
}


def add_rungs(url: str, study_name: str) -> None:
    """What successive halving would have written to the trials of the study."""
    engine = sa.create_engine(url)
    table = models.TrialSystemAttributeModel.__table__
    with engine.begin() as c:
        study_id = sa.select(models.StudyModel.study_id).where(models.StudyModel.study_name == study_name)
        trial_ids = (
            c.execute(sa.select(models.TrialModel.trial_id).where(models.TrialModel.study_id.in_(study_id)))
            .scalars()
            .all()
        )
        rows = [
            {"trial_id": trial_id, "key": f"completed_rung_{rung}", "value_json": str(trial_id % 997 / 100)}
            for trial_id in trial_ids
            for rung in range(2 if trial_id % 4 == 0 else 1)
        ]
        c.execute(table.insert(), rows)
    engine.dispose()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("--trials", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    options = parser.parse_args()
    filler = Path(__file__).with_name("large_study.py")
    print(f"{'trials':>7} {'pruner':24} {'way':29} {'first ms':>10} {'median ms':>10} {'max ms':>10}")
    for count in options.trials:
        name = f"pruned-{count}"
        subprocess.run(
            [sys.executable, filler, options.url, name, str(count)], check=True, stdout=subprocess.DEVNULL
        )
        add_rungs(options.url, name)
        for kind in KINDS:
            for way, said in WAYS.items():
                command = [sys.executable, "-c", WORK, kind, way, options.url, name]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                print(f"{count:7} {kind:24} {said:29} {done.stdout.rstrip()}", flush=True)


if __name__ == "__main__":
    main()
