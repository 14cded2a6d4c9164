"""How much memory do the workers of a search take for one array that the objective holds?

A real search with worker processes, each of which reads all of the array and then tells its PSS (proportional
set size, smaps_rollup of proc(5): a page that k processes map counts 1/k in each) while all the others have
read it as well. Summed over the workers, less the same of a search without the array, it is what the array
costs. The rival is cloudpickle alone: it copies the array into the pickle and from there into every worker.

    python benchmarks/bench_memory_of_a_big_array.py [--mib 256] [--workers 4] [--rounds 1]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np

from orchestrator import search

MIB = 2**20


def pss_mib() -> float:
    """Of this process."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise OSError("the kernel does not tell")


def make_objective(held: Held, n_workers: int) -> Callable[[Any], float]:
    """Each worker reads the array, waits until all have, says its memory, and waits until all have said it.

    It is a closure, which travels by value: workers cannot import this file.
    """
    pss = pss_mib

    def objective(trial: Any) -> float:
        total = float(held.array.sum())
        meet("read", n_workers, trial.study.run_dir)
        trial.set_user_attr("pss_mib", pss())
        meet("told", n_workers, trial.study.run_dir)
        return total

    def meet(what: str, n: int, folder: Path) -> None:
        (folder / f"{what}-{os.getpid()}").touch()
        while len(list(folder.glob(f"{what}-*"))) < n:
            time.sleep(0.02)

    return objective


class Held:
    """An array that an objective holds, as it is."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array


class Copied(Held):
    """An array in the bytes of a pickle of plain cloudpickle, which each worker unpacks when it loads."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the bytes."""
        return unpacked, (cloudpickle.dumps(self.array),)


def unpacked(pickled: bytes) -> Copied:
    return Copied(cloudpickle.loads(pickled))


def measure(held: Held, n_workers: int) -> tuple[float, float]:
    """The workers' memory in MiB, summed, and the seconds of the whole search."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            start_s = time.perf_counter()
            summary = search(
                make_objective(held, n_workers),
                n_trials=n_workers,
                n_parallels=n_workers,
                oversubscribe=True,
                sampler="random",
                progress=False,
                draw="none",
            )
            seconds = time.perf_counter() - start_s
        finally:
            os.chdir(before)
    return sum(trial.user_attrs["pss_mib"] for trial in summary.trials), seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    array = np.random.default_rng(1).random(options.mib * MIB // 8)
    ways = {
        "without the array": Held(np.zeros(8)),
        "ours": Held(array),
        "plain cloudpickle": Copied(array),
    }
    seen: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, held in ways.items():
            seen[way].append(measure(held, options.workers))
    report(seen, options.mib, options.workers)


def report(seen: dict[str, list[tuple[float, float]]], mib: int, n_workers: int) -> None:
    middle = {way: [statistics.median(one) for one in zip(*some, strict=True)] for way, some in seen.items()}
    base_mib = middle["without the array"][0]
    print(f"{n_workers} workers, an array of {mib} MiB, memory of all workers (PSS):")
    for way, (found_mib, seconds) in middle.items():
        times = (found_mib - base_mib) / mib
        print(f"  {way:18} {found_mib:8.0f} MiB  {times:5.2f} arrays  {seconds:6.1f} s for the whole search")
    ours, plain = (middle[way][0] - base_mib for way in ("ours", "plain cloudpickle"))
    print(f"  plain cloudpickle takes {plain / ours:.1f} times as much for the array")


if __name__ == "__main__":
    main()
