"""What does it cost to go on with a large study? Our storage against plain Optuna on the same database.

A fresh process loads a finished study of N trials (6 parameters, 5 reports each) and starts one trial: the
seconds from the opening of the storage to the first suggested parameter, and the memory of the process. The
sampler is random, so that the storage alone is measured. The two take turns; the ratios are of medians.

    python benchmarks/bench_resume_of_a_large_study.py URL [--trials N] [--rounds N]

URL names an empty database, as mysql://root@localhost/bench?unix_socket=… or sqlite:////tmp/bench.db.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

WORK = """
import json, resource, sys, time
import optuna
from orchestrator import open_storage
optuna.logging.set_verbosity(optuna.logging.WARNING)
way, url, name = sys.argv[1:]
def memory_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
before_mib, start = memory_mib(), time.perf_counter()
storage = open_storage(url) if way == "ours" else url
study = optuna.load_study(study_name=name, storage=storage, sampler=optuna.samplers.RandomSampler())
n_trials = len(study.get_trials(deepcopy=False))
study.ask().suggest_float("dropout", 0.0, 0.9)
print(json.dumps({
    "seconds": time.perf_counter() - start,
    "memory_mib": memory_mib(),
    "imports_mib": before_mib,
    "n_trials": n_trials,
}))
"""


def measure(way: str, url: str, study_name: str) -> dict[str, float]:
    """One process of one way."""
    command = [sys.executable, "-c", WORK, way, url, study_name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    name = f"large-{options.trials}"
    filler = Path(__file__).with_name("large_study.py")
    subprocess.run([sys.executable, filler, options.url, name, str(options.trials)], check=True)
    seen: dict[str, list[dict[str, float]]] = {"ours": [], "plain": []}
    for turn in range(options.rounds):
        for way in seen:
            found = measure(way, options.url, name)
            seen[way].append(found)
            print(
                f"round {turn + 1}  {way:5}  {found['seconds']:8.2f} s  {found['memory_mib']:8.0f} MiB",
                flush=True,
            )
    for what in ("seconds", "memory_mib"):
        ours, plain = (statistics.median(one[what] for one in seen[way]) for way in ("ours", "plain"))
        print(f"{what}: ours {ours:.2f}, plain Optuna {plain:.2f}: 1 / {plain / ours:.1f}")


if __name__ == "__main__":
    main()
