"""What does TPE cost when the history is long? Flat against Optuna's own, on our storage for both.

Studies of N finished trials (6 parameters); then trials are asked for, and what is measured is drawing their
parameters together: CPU seconds of the process, as a shared machine's wall clock says little. The first draw,
which reads the history, stands by itself; the figure is the median of the second half.

    python benchmarks/bench_tpe_on_a_long_history.py URL [--trials N …] [--draws N]

URL names an empty database, as mysql://root@localhost/bench?unix_socket=… or sqlite:////tmp/bench.db.
"""

from __future__ import annotations

import argparse
import statistics
import time

import large_study
import optuna

from orchestrator import FlatTPESampler, open_storage

SAMPLERS = {"flat": FlatTPESampler, "plain": optuna.samplers.TPESampler}


def draw(url: str, name: str, way: str, draws: int) -> list[float]:
    """CPU seconds of each draw."""
    study = optuna.load_study(study_name=name, storage=open_storage(url), sampler=SAMPLERS[way](seed=1))
    spent = []
    for _ in range(draws):
        trial = study.ask()
        start_s = time.process_time()
        params = trial.relative_params
        spent.append(time.process_time() - start_s)
        assert params.keys() == large_study.SPACE.keys()
        study.tell(trial, large_study.loss(large_study.suggest(trial)))
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("--trials", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--draws", type=int, default=40, help="of flat; plain does a quarter")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    medians: dict[str, list[float]] = {"flat": [], "plain": []}
    for trials in options.trials:
        name = f"long-{trials}"
        large_study.fill(options.url, name, trials)
        for way, found in medians.items():
            spent = draw(options.url, name, way, options.draws if way == "flat" else options.draws // 4)
            found.append(statistics.median(spent[len(spent) // 2 :]))
            first, ms = spent[0] * 1e3, found[-1] * 1e3
            print(f"{trials:9,} trials  {way:5}  first {first:7.0f} ms   then {ms:7.1f} ms", flush=True)
    flat, plain = medians["flat"], medians["plain"]
    print(f"flat, longest / shortest history: {flat[-1] / flat[0]:.2f}")
    print(f"longest history, plain / flat: {plain[-1] / flat[-1]:.0f}")


if __name__ == "__main__":
    main()
