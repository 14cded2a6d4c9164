"""What does binding buy? k bound workers against k free ones on the same CPU-bound work, measured together.

Ways to run k processes that each do the same for a fixed time:

  bound    ``nano-hpo bind``: a slot of the machine and its thread counts, as trial workers get them
  free     plain processes with the libraries' default threads (what most people do)
  single   plain processes with one thread each, on any core
  careful  plain processes with thread counts set by hand and ``taskset`` (what careful people do)
  numactl  likewise with ``numactl --physcpubind --localalloc``, where that is installed
  run_cpu  torch's own launcher, ``torch.backends.xeon.run_cpu --ninstances k`` (with torch alone)

The work, by ``--library``: products of matrices (numpy), training steps of a small network (torch,
tensorflow). The ways take turns in every round; the ratios are of medians over the rounds. All processes of a
way begin once the last one has imported its library.

Expected on 2 cores: the number of threads decides. bound, careful and single within noise of each other, free
behind by as much as too many threads fight. Machines of several caches or NUMA nodes are where
bound should leave single behind: run it there.

Got on 2 cores (quiet, 2 processes, 5 rounds of 2 s), bound against each: numpy 22 times free, 1.00 single,
0.99 careful; torch 105 times free (threads that wait for each other on small work: 21 to 1,031 steps/s), 1.02
single, 1.01 careful, 1.01 run_cpu; tensorflow 1.11 free, 1.14 single, 1.00 careful.

    python benchmarks/bench_pinned_vs_free.py [--library torch] [-k PROCESSES] [--rounds N] [--seconds S]
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from affinity import Slot, format_list, partition, read_allowance, read_topology

WORK = {
    "numpy": """
import numpy as np
a = np.random.default_rng(0).standard_normal((384, 384), dtype=np.float32)
def step():
    a @ a
""",
    "torch": """
import torch
model = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 10))
optimizer = torch.optim.SGD(model.parameters(), 0.01)
x, y = torch.randn(256, 64), torch.randint(0, 10, (256,))
def step():
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()
""",
    "tensorflow": """
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
model = tf.keras.Sequential([tf.keras.layers.Dense(256, activation="relu"), tf.keras.layers.Dense(10)])
optimizer = tf.keras.optimizers.SGD(0.01)
x, y = tf.random.normal((256, 64)), tf.random.uniform((256,), 0, 10, tf.int32)
model.build(x.shape)
optimizer.build(model.trainable_variables)
@tf.function
def step():
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, model(x)))
    optimizer.apply_gradients(zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables))
""",
}
"""The work of each library as a function ``step``."""

LOOP = """
import os, sys, time
folder, seconds = sys.argv[1], float(sys.argv[2])
step()
open(f"{folder}/ready-{os.getpid()}", "w").close()
while not os.path.exists(f"{folder}/go"):
    time.sleep(0.01)
done, end = 0, time.monotonic() + seconds
while time.monotonic() < end:
    step()
    done += 1
open(f"{folder}/done-{os.getpid()}", "w").write(str(done))
"""

PATIENCE_S = 300.0


def slots_of(k: int) -> tuple[Slot, ...]:
    """This machine in k slots."""
    return partition((machine := read_topology()), read_allowance(machine), k, oversubscribe=True).slots


def commands(way: str, k: int, work: list[str]) -> list[list[str]]:
    """The command lines of one way: k of them, or one that starts k processes."""
    slots = slots_of(k)
    if way == "bound":
        nano_hpo = str(Path(sys.executable).with_name("nano-hpo"))
        head = [nano_hpo, "bind", "-p", str(k), "--oversubscribe", "--slot"]
        return [[*head, str(slot.index), "--", *work] for slot in slots]
    if way == "careful":
        return [["taskset", "-c", format_list(slot.pus), *work] for slot in slots]
    if way == "numactl":
        return [
            ["numactl", f"--physcpubind={format_list(slot.pus)}", "--localalloc", *work] for slot in slots
        ]
    if way == "run_cpu":
        cores = str(min(len(slot.cores) for slot in slots))
        launcher = [work[0], "-m", "torch.backends.xeon.run_cpu"]
        return [[*launcher, "--ninstances", str(k), "--ncores-per-instance", cores, *work[1:]]]
    return [work for _ in slots]


def environment(way: str, k: int) -> dict[str, str]:
    """The environment of one way: nothing set by anybody else."""
    clean = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    if way in ("careful", "numactl", "single"):
        threads = str(1 if way == "single" else min(slot.threads for slot in slots_of(k)))
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
        clean |= dict.fromkeys(names, threads)
    return clean


def measure(way: str, k: int, library: str, seconds: float) -> float:
    """Steps a second, summed over the k processes, which all begin at one moment."""
    with tempfile.TemporaryDirectory(prefix="nano-hpo-bench-") as name:
        folder = Path(name)
        (folder / "work.py").write_text(WORK[library] + LOOP)
        work = [sys.executable, str(folder / "work.py"), name, str(seconds)]
        running = [
            subprocess.Popen(command, env=environment(way, k), stdout=subprocess.DEVNULL, stderr=errors)
            for command in commands(way, k, work)
            for errors in [(folder / "errors").open("a")]
        ]
        deadline = time.monotonic() + PATIENCE_S
        while len(list(folder.glob("ready-*"))) < k:
            time.sleep(0.05)
            if time.monotonic() > deadline or any(process.poll() for process in running):
                raise SystemExit(f"{way}: {(folder / 'errors').read_text()[-2000:]}")
        (folder / "go").touch()
        for process in running:
            process.wait()
        return sum(int(file.read_text()) for file in folder.glob("done-*")) / seconds


def ways_of(library: str) -> list[str]:
    """Those that this machine has programs for."""
    found = ["bound", "free", "single"]
    found += ["careful"] if shutil.which("taskset") else []
    found += ["numactl"] if shutil.which("numactl") else []
    found += ["run_cpu"] if library == "torch" else []
    return found


def main() -> None:
    """Measure in turns and print medians and ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    n_cores = len(read_topology().cores_within(read_allowance(read_topology()).pus))
    parser.add_argument("-k", type=int, default=n_cores, help="processes (default: cores)")
    parser.add_argument("--library", choices=tuple(WORK), default="numpy")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of work per way and round")
    options = parser.parse_args()
    ways = ways_of(options.library)
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(options.rounds):
        for way in ways[number % len(ways) :] + ways[: number % len(ways)]:
            rates[way].append(measure(way, options.k, options.library, options.seconds))
            print(f"round {number + 1}: {way:8} {rates[way][-1]:8.1f} steps/s", flush=True)
    medians = {way: statistics.median(values) for way, values in rates.items()}
    print(f"\n{options.k} processes with {options.library}, medians of {options.rounds} rounds:")
    for way in ways:
        spread = f"{min(rates[way]):.1f} to {max(rates[way]):.1f}"
        print(f"  {way:8} {medians[way]:8.1f} steps/s ({spread})")
    for way in ways[1:]:
        print(f"  bound is {medians['bound'] / medians[way]:.2f} times {way}")


if __name__ == "__main__":
    main()
