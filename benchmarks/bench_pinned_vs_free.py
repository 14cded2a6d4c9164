"""What does binding buy? k bound workers against k free ones on the same CPU-bound work, measured together.

Three ways to run k processes that each multiply matrices with numpy for a fixed time:

  bound    ``nano-hpo bind``: a slot of the machine and its thread counts, as trial workers get them
  free     plain processes with the libraries' default threads (what most people do)
  careful  plain processes with OMP_NUM_THREADS set by hand and ``taskset`` (what careful people do)

The ways take turns in every round; the ratios are of medians over the rounds.

    python benchmarks/bench_pinned_vs_free.py [-k PROCESSES] [--rounds N] [--seconds S] [--size N]
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from affinity import format_list, partition, read_allowance, read_topology

WORK = """
import sys, time
import numpy as np
size, start, seconds = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
a = np.random.default_rng(0).standard_normal((size, size), dtype=np.float32)
a @ a
time.sleep(max(0.0, start - time.time()))
done = 0
while time.time() < start + seconds:
    a @ a
    done += 1
print(done)
"""


def commands(way: str, k: int, work: list[str]) -> list[list[str]]:
    """The k command lines of one way."""
    slots = partition((machine := read_topology()), read_allowance(machine), k, oversubscribe=True).slots
    nano_hpo = str(Path(sys.executable).with_name("nano-hpo"))
    if way == "bound":
        return [
            [nano_hpo, "bind", "-p", str(k), "--slot", str(s.index), "--oversubscribe", "--", *work]
            for s in slots
        ]
    if way == "careful":
        return [["taskset", "-c", format_list(slot.pus), *work] for slot in slots]
    return [work for _ in slots]


def environment(way: str, k: int) -> dict[str, str]:
    """The environment of one way: nothing set by anybody else."""
    clean = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    if way == "careful":
        clean["OMP_NUM_THREADS"] = str(max(1, len(os.sched_getaffinity(0)) // k))
    return clean


def measure(way: str, k: int, size: int, seconds: float) -> float:
    """Matrix products a second, summed over the k processes, which all begin at one moment."""
    start = time.time() + 1.5 + 0.5 * k
    work = [sys.executable, "-c", WORK, str(size), str(start), str(seconds)]
    env = environment(way, k)
    running = [
        subprocess.Popen(c, env=env, stdout=subprocess.PIPE, text=True) for c in commands(way, k, work)
    ]
    return sum(int(process.communicate()[0]) for process in running) / seconds


def main() -> None:
    """Measure in turns and print medians and ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "-k", type=int, default=len(os.sched_getaffinity(0)), help="processes (default: CPUs)"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of work per way and round")
    parser.add_argument("--size", type=int, default=384, help="of the square matrices")
    options = parser.parse_args()
    ways = ["bound", "free", *(["careful"] if shutil.which("taskset") else [])]
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(options.rounds):
        for way in ways[number % len(ways) :] + ways[: number % len(ways)]:
            rates[way].append(measure(way, options.k, options.size, options.seconds))
            print(f"round {number + 1}: {way:8} {rates[way][-1]:8.1f} products/s", flush=True)
    medians = {way: statistics.median(values) for way, values in rates.items()}
    print(f"\n{options.k} processes, {options.size}² float32 matrices, medians of {options.rounds} rounds:")
    for way in ways:
        spread = f"{min(rates[way]):.1f} to {max(rates[way]):.1f}"
        print(f"  {way:8} {medians[way]:8.1f} products/s ({spread})")
    for way in ways[1:]:
        print(f"  bound is {medians['bound'] / medians[way]:.2f} times {way}")


if __name__ == "__main__":
    main()
