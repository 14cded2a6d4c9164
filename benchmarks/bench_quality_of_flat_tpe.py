"""Does TPE on a thinned history find as good values as TPE on all of it? Flat against plain, equal trials.

Four functions with known minima, 2,000 trials, the same seeds for both: they draw the same first 1,000 trials
and part then. Measured is the regret (best value found less the minimum) as log10. Its difference, flat less
plain, is divided by the spread of plain's log10 regrets over the seeds, so that functions can be pooled.

Decided before measuring: **equivalent** means that the 90 % bootstrap interval of the mean difference, over
all functions and seeds, lies within ±0.5 of that spread (two one-sided tests at 5 %; 0.5 is Cohen's
"medium"): to choose the sampler then matters less than half as much as to choose the seed. A function alone
has too few seeds for such a verdict; each is shown with its own interval.

A control says whether this could come out otherwise: plain TPE that stops where the two part.

Flat runs on our storage in memory, plain on Optuna's. Results are lines of JSON in a file: what is there
already is not run again, so the bench may be stopped and started, or run with fewer trials first.

    python benchmarks/bench_quality_of_flat_tpe.py RESULTS.jsonl [--trials N] [--seeds N] [--processes N]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import optuna

from orchestrator.sampling.flat_tpe import SHOWN, FlatTPESampler
from orchestrator.sql.opening import open_database
from orchestrator.storage.study_storage import StudyStorage

MARGIN = 0.5
FLOOR = 1e-9  # regrets below it are equal
HARTMANN_MINIMUM = -3.32236801


def hartmann(trial: optuna.Trial) -> float:
    """Six floats, six local minima."""
    x = np.array([trial.suggest_float(f"x{i}", 0, 1) for i in range(6)])
    height = np.array([1.0, 1.2, 3.0, 3.2])
    steep = np.array(
        [
            [10, 3, 17, 3.5, 1.7, 8],
            [0.05, 10, 17, 0.1, 8, 14],
            [3, 3.5, 1.7, 10, 17, 8],
            [17, 8, 0.05, 10, 0.1, 14],
        ]
    )
    centre = 1e-4 * np.array(
        [
            [1312, 1696, 5569, 124, 8283, 5886],
            [2329, 4135, 8307, 3736, 1004, 9991],
            [2348, 1451, 3522, 2883, 3047, 6650],
            [4047, 8828, 8732, 5743, 1091, 381],
        ]
    )
    return float(-(height * np.exp(-(steep * (x - centre) ** 2).sum(axis=1))).sum()) - HARTMANN_MINIMUM


def rosenbrock(trial: optuna.Trial) -> float:
    """Five floats along a bent valley."""
    x = np.array([trial.suggest_float(f"x{i}", -2, 2) for i in range(5)])
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


def ackley(trial: optuna.Trial) -> float:
    """Ten floats, a funnel full of local minima, off the centre."""
    x = np.array([trial.suggest_float(f"x{i}", -10, 10) for i in range(10)]) - 1.5
    bowl = -20 * math.exp(-0.2 * math.sqrt((x**2).mean()))
    return bowl - math.exp(np.cos(2 * math.pi * x).mean()) + 20 + math.e


def network(trial: optuna.Trial) -> float:
    """Like the loss of a small network: log, int and categorical, and two parameters of some trials only."""
    rate = trial.suggest_float("rate", 1e-6, 1.0, log=True)
    units = trial.suggest_int("units", 4, 1024, log=True)
    layers = trial.suggest_int("layers", 1, 12)
    dropout = trial.suggest_float("dropout", 0.0, 0.9)
    activation = trial.suggest_categorical("activation", ["relu", "tanh", "gelu", "silu"])
    loss = 0.1 * ["gelu", "silu", "relu", "tanh"].index(activation)
    if trial.suggest_categorical("optimizer", ["adam", "sgd"]) == "sgd":
        momentum = trial.suggest_float("momentum", 0.0, 1.0)
        loss += (momentum - 0.93) ** 2 + (math.log10(rate) + 1.7 + momentum - 0.93) ** 2 / 20
    else:
        decay = trial.suggest_float("decay", 1e-6, 1e-1, log=True)
        loss += 0.05 + (math.log10(decay) + 3) ** 2 / 50 + (math.log10(rate) + 3.2) ** 2 / 20
    width = math.log2(units * layers / (192 * 4))
    return loss + width**2 / 20 + abs(layers - 4) / 20 + (dropout - 0.15 - 0.02 * max(width, 0)) ** 2


FUNCTIONS: dict[str, Callable[[optuna.Trial], float]] = {
    one.__name__: one for one in (hartmann, rosenbrock, ackley, network)
}


@dataclass(frozen=True, slots=True)
class Task:
    """One search."""

    function: str
    sampler: str  # "flat" or "plain"
    seed: int
    trials: int


def search(task: Task) -> tuple[float, float]:
    """The regret, and the seconds it took."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore")
    is_flat = task.sampler == "flat"
    sampler = (FlatTPESampler if is_flat else optuna.samplers.TPESampler)(seed=task.seed)
    storage = StudyStorage(open_database("sqlite://")) if is_flat else None
    study = optuna.create_study(storage=storage, sampler=sampler)
    start_s = time.perf_counter()
    for _ in range(task.trials):  # optimize() closes the storage at its end, and the memory is gone
        trial = study.ask()
        study.tell(trial, FUNCTIONS[task.function](trial))
    return study.best_value, time.perf_counter() - start_s


def run(tasks: list[Task], results: Path, processes: int) -> dict[Task, float]:
    """Regrets by task; those that ``results`` lacks are run and added to it."""
    found = _read(results)
    missing = [task for task in tasks if task not in found]
    with ProcessPoolExecutor(processes) as pool, results.open("a") as lines:
        running = {pool.submit(search, task): task for task in missing}
        for n, future in enumerate(as_completed(running), start=1):
            task, (regret, seconds) = running[future], future.result()
            found[task] = regret
            print(json.dumps({**asdict(task), "regret": regret, "seconds": seconds}), file=lines, flush=True)
            print(f"{n}/{len(missing)}  {task}  {regret:.3g}  {seconds:.0f} s", flush=True)
    return {task: found[task] for task in tasks}


def _read(results: Path) -> dict[Task, float]:
    if not results.exists():
        return {}
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    return {
        Task(line["function"], line["sampler"], line["seed"], line["trials"]): line["regret"]
        for line in lines
    }


def logs(regrets: dict[Task, float], name: str, sampler: str, trials: int) -> np.ndarray:
    """log10 regrets by seed."""
    mine = [task for task in regrets if (task.function, task.sampler, task.trials) == (name, sampler, trials)]
    return np.array([math.log10(max(regrets[task], FLOOR)) for task in sorted(mine, key=lambda t: t.seed)])


def interval(groups: list[np.ndarray], rng: np.random.Generator, rounds: int = 10_000) -> tuple[float, float]:
    """The 90 % bootstrap interval of the mean of the groups' means: seeds are drawn anew in each group."""
    means = [rng.choice(group, (rounds, len(group))).mean(axis=1) for group in groups]
    low, high = np.quantile(np.mean(means, axis=0), [0.05, 0.95])
    return float(low), float(high)


def compare(regrets: dict[Task, float], sampler: str, stop: int, trials: int) -> bool:
    """Print how ``sampler`` does, stopped after ``stop`` trials, against plain; whether it is equivalent."""
    rng = np.random.default_rng(0)
    print(f"{'':12}{sampler:>8}{'plain':>8}{'difference':>12}  90 % interval     better/equal/worse")
    groups = []
    for name in FUNCTIONS:
        tested, plain = logs(regrets, name, sampler, stop), logs(regrets, name, "plain", trials)
        difference = (tested - plain) / plain.std(ddof=1)
        low, high = interval([difference], rng)
        counts = f"{(tested < plain).sum()}/{(tested == plain).sum()}/{(tested > plain).sum()}"
        figures = f"{np.median(tested):8.2f}{np.median(plain):8.2f}{difference.mean():+12.2f}"
        print(f"{name:12}{figures}  {low:+.2f} to {high:+.2f}    {counts}")
        groups.append(difference)
    low, high = interval(groups, rng)
    is_equivalent = max(-low, high) < MARGIN
    verdict = "equivalent" if is_equivalent else "not shown to be equivalent"
    mean = np.mean([group.mean() for group in groups])
    print(f"{'all':28}{mean:+12.2f}  {low:+.2f} to {high:+.2f}: {verdict} (margin {MARGIN})")
    return is_equivalent


def report(regrets: dict[Task, float], trials: int, seeds: int) -> None:
    print(f"{trials} trials, {seeds} seeds; log10 regret, median; difference in spreads of plain over seeds")
    compare(regrets, "flat", trials, trials)
    print(f"\nControl: plain TPE that finds nothing after {SHOWN} trials, where the two part, would be")
    if compare(regrets, "plain", SHOWN, trials):
        print("So this bench cannot tell: take more trials.")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("--trials", type=int, default=2_000)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    tasks = [
        Task(name, sampler, seed, trials)
        for seed in range(options.seeds)
        for name in FUNCTIONS
        for sampler, trials in (("flat", options.trials), ("plain", options.trials), ("plain", SHOWN))
    ]
    report(run(tasks, options.results, options.processes), options.trials, options.seeds)


if __name__ == "__main__":
    main()
