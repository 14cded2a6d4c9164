"""What do bound workers cost and bring a search of Lightning models? Against one worker, and plain Optuna.

The same trials (a seed's parameters of a perceptron over scikit-learn's digits, trained from scratch) run
three ways, each in fresh processes and with an SQLite file as storage:

  (a) ours, 1 worker    ``Trainer.search(n_parallels=1, storage=…, run_dir=…, draw="none")``
  (b) ours, 2 workers   the same with ``n_parallels=2``: each is bound to its half of the cores
  (c) plain Optuna      two unbound processes with torch's default threads on one study, each for half of the
                        trials, with an objective that is written by hand around Lightning's own ``Trainer``

Measured of each way, as medians of the rounds, in which the ways take turns:

  total           seconds from the start of the command(s) to the end of the last process
  first trial     seconds to the start of the first trial by the study's dates: in (a) and (b) from the call
                  of ``search``, before which the script has imported Lightning for itself; in (c) from the
                  start of the processes, as importing is their way there
  a trial         mean seconds of a trial, by the study's dates
  PSS, USS        peak memory of the workers, summed over them, polled from smaps_rollup (proc(5))
  with script     PSS as before, and that of the script that waits for the workers, where there is one

and whether a worker has loaded TensorFlow, which none may.

Expected, written down before the first measurement, on 2 cores:

  first trial     (b) 1.0 to 1.3 times (a), as the workers import at once; (b) 0.9 to 1.2 times (c)
  a trial         (b) 1.0 to 1.2 times (a), as a small model gains nothing from a second thread;
                  (b) 0.5 to 0.8 times (c), whose four threads share two cores
  total           3 epochs, of which start-up is most: (b) 0.85 to 0.95 times (a) and 0.9 to 1.1 times (c);
                  20 epochs: (b) 0.6 to 0.75 times (a) and 0.6 to 0.9 times (c)
  USS             350 to 450 MiB a worker: (b) 1.8 to 2 times (a), 0.85 to 1.15 times (c)

    python benchmarks/bench_lightning_search.py [--rounds N] [--epochs N …] [--trials N]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

import optuna
import psutil

import orchestrator

SEED = 1
WAYS = {"a": "(a) ours, 1 worker", "b": "(b) ours, 2 workers", "c": "(c) plain Optuna"}
HEADS = ("first trial s", "a trial s", "PSS", "USS", "with script")
POLL_S = 0.3  # more often, it would take the workers' cores

MODEL = """
import os, sys, time
from pathlib import Path

import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

folder, storage, n_trials, epochs, n_workers = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])
images, labels = load_digits(return_X_y=True)
images, labels = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
quiet |= {"enable_model_summary": False, "accelerator": "cpu", "max_epochs": epochs}


class Perceptron(pl.LightningModule):
    def __init__(self, width, rate, learning_rate):
        super().__init__()
        self.save_hyperparameters()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(64, width), torch.nn.ReLU(), torch.nn.Dropout(rate),
            torch.nn.Linear(width, width), torch.nn.ReLU(), torch.nn.Linear(width, 10),
        )

    def forward(self, x):
        return self.layers(x)

    def training_step(self, batch, index):
        return torch.nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, index):
        self.log("val_loss", torch.nn.functional.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.hparams.learning_rate)

    def train_dataloader(self):
        return DataLoader(TensorDataset(images[:1437], labels[:1437]), batch_size=32, shuffle=True)

    def val_dataloader(self):
        return DataLoader(TensorDataset(images[1437:], labels[1437:]), batch_size=360)

    def on_train_end(self):
        (folder / f"worker-{os.getpid()}").write_text(str("tensorflow" in sys.modules))

"""

OURS = """
import bigdl.nano.automl.hpo as hpo
import bigdl.nano.automl.hpo.space as space
from bigdl.nano.pytorch import Trainer

Searched = hpo.plmodel()(Perceptron)
model = Searched(
    width=space.Int(32, 256), rate=space.Real(0.0, 0.5), learning_rate=space.Real(1e-3, 1e-2, log=True)
)
trainer = Trainer(use_hpo=True, **quiet)
(folder / "called").write_text(repr(time.time()))
trainer.search(
    model, n_trials=n_trials, n_parallels=n_workers, max_epochs=epochs, storage=storage, study_name="study",
    sampler="random", seed=SEED, run_dir=folder / "run", draw="none", show_progress_bar=False,
)
"""

PLAIN = """
import optuna

optuna.logging.set_verbosity(optuna.logging.WARNING)


def objective(trial):
    width = trial.suggest_int("width", 32, 256)
    rate = trial.suggest_float("rate", 0.0, 0.5)
    learning_rate = trial.suggest_float("learning_rate", 1e-3, 1e-2, log=True)
    trainer = pl.Trainer(**quiet)
    trainer.fit(Perceptron(width, rate, learning_rate))
    return float(trainer.callback_metrics["val_loss"])


study = optuna.load_study(study_name="study", storage=storage)
study.optimize(objective, n_trials=n_trials // n_workers)
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What one run of one way was like."""

    total_s: float
    first_trial_s: float
    trial_s: float
    pss_mib: float
    uss_mib: float
    with_script_mib: float


def parameters(n_trials: int) -> list[dict[str, Any]]:
    """What the random sampler of our searches draws with the seed, trial by trial."""

    def draw(trial: optuna.Trial) -> float:
        trial.suggest_int("width", 32, 256)
        trial.suggest_float("rate", 0.0, 0.5)
        trial.suggest_float("learning_rate", 1e-3, 1e-2, log=True)
        return 0.0

    summary = orchestrator.search(draw, n_trials=n_trials, sampler="random", seed=SEED, progress=False)
    return [trial.params for trial in summary.trials]


def measure(way: str, params: Sequence[dict[str, Any]], epochs: int) -> Found:
    """One search in a folder of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        storage = f"sqlite:///{folder}/study.db"
        n_workers = 1 if way == "a" else 2
        script = folder / "script.py"
        script.write_text(MODEL + (PLAIN if way == "c" else f"SEED = {SEED}\n{OURS}"))
        command = [sys.executable, script, folder, storage, len(params), epochs, n_workers]
        if way == "c":
            study = optuna.create_study(study_name="study", storage=storage)
            for given in params:
                study.enqueue_trial(given)
        start, total_s, memory = run(list(map(str, command)), 2 if way == "c" else 1, folder)
        called = start if way == "c" else float((folder / "called").read_text())
        trials = optuna.load_study(study_name="study", storage=storage).get_trials()
        require_same_work(trials, params, folder, n_workers)
        first = min(moment(way, trial) for trial in trials)
        mean_s = statistics.mean(trial.duration.total_seconds() for trial in trials if trial.duration)
        return Found(total_s, first - called, mean_s, *memory.peaks_mib())


def run(command: list[str], n_processes: int, folder: Path) -> tuple[float, float, Memory]:
    """Run as many of the command at once; when they began, how many seconds they took, their memory."""
    clean = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    with (folder / "output").open("w") as output:
        start = time.time()
        running = [
            subprocess.Popen(command, cwd=folder, env=clean, stdout=output, stderr=subprocess.STDOUT)
            for _ in range(n_processes)
        ]
        memory = Memory([process.pid for process in running], scripts_work=n_processes > 1)
        codes = [process.wait() for process in running]
        total_s = time.time() - start
    memory.stop()
    if any(codes):
        raise SystemExit((folder / "output").read_text())
    return start, total_s, memory


def require_same_work(
    trials: Sequence[optuna.trial.FrozenTrial],
    params: Sequence[dict[str, Any]],
    folder: Path,
    n_workers: int,
) -> None:
    """Stop where a way did not do what the others do, or a worker has loaded TensorFlow."""
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * len(params)
    ran = sorted(tuple(sorted(trial.params.items())) for trial in trials)
    assert ran == sorted(tuple(sorted(given.items())) for given in params), "other parameters than elsewhere"
    said = [path.read_text() for path in folder.glob("worker-*")]
    assert said == ["False"] * n_workers, f"TensorFlow is loaded in workers: {said}"


def moment(way: str, trial: optuna.trial.FrozenTrial) -> float:
    """When a trial began, in seconds since the epoch: our storage keeps UTC, Optuna's the local time."""
    start = trial.datetime_start
    assert start is not None
    return start.timestamp() if way == "c" else start.replace(tzinfo=UTC).timestamp()


# Memory


class Memory:
    """Polls the memory of scripts and of the workers that they start, in a thread."""

    def __init__(self, scripts: Sequence[int], scripts_work: bool) -> None:
        self._scripts, self._scripts_work = [psutil.Process(pid) for pid in scripts], scripts_work
        self._peaks = [0.0, 0.0, 0.0]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()

    def peaks_mib(self) -> list[float]:
        """PSS and USS of the workers, and PSS of workers and script, each where it was highest."""
        return self._peaks

    def stop(self) -> None:
        """End the polling."""
        self._ended.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self._ended.wait(POLL_S):
            scripts = [self._sum([one]) for one in self._scripts]
            script_mib = sum(pss for pss, _ in scripts)
            if self._scripts_work:
                now = [script_mib, sum(uss for _, uss in scripts), script_mib]
            else:
                pss, uss = self._sum([child for one in self._scripts for child in children(one)])
                now = [pss, uss, pss + script_mib]
            self._peaks = list(map(max, self._peaks, now))

    def _sum(self, processes: Sequence[psutil.Process]) -> tuple[float, float]:
        found = [memory_mib(process.pid) for process in processes]
        return sum(pss for pss, _ in found), sum(uss for _, uss in found)


def children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def memory_mib(pid: int) -> tuple[float, float]:
    """PSS and USS of a process; nothing of one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except (FileNotFoundError, ProcessLookupError):
        return 0.0, 0.0
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return kib["Pss"] / 1024, (kib["Private_Clean"] + kib["Private_Dirty"]) / 1024


# Report


def main() -> None:
    """Measure in turns and print medians and ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, nargs="+", default=[3, 20])
    parser.add_argument("--trials", type=int, default=12, help="an even number")
    options = parser.parse_args()
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    params = parameters(options.trials)
    for epochs in options.epochs:
        seen: dict[str, list[Found]] = {way: [] for way in WAYS}
        for number in range(options.rounds):
            turn = number % len(WAYS)
            for way in [*WAYS][turn:] + [*WAYS][:turn]:
                load = os.getloadavg()[0]  # of others, too
                found = measure(way, params, epochs)
                seen[way].append(found)
                told = f"{epochs} epochs, round {number + 1}, load before {load:4.1f}"
                print(f"{told}: {WAYS[way]:20} {found.total_s:6.1f} s", flush=True)
        report(seen, epochs, options.trials, options.rounds)


def report(seen: dict[str, list[Found]], epochs: int, n_trials: int, rounds: int) -> None:
    columns = {way: list(zip(*map(astuple, found), strict=True)) for way, found in seen.items()}
    middle = {way: list(map(statistics.median, columns[way])) for way in seen}
    print(f"\n{n_trials} trials of {epochs} epochs, medians of {rounds} rounds; memory in MiB:")
    heads = (f"{'total s':>9} {'(from to)':>14}", *map("{:>14}".format, HEADS))
    print(f"  {'':20} {''.join(heads)}")
    for way, (total_s, *others) in middle.items():
        spread = f"({min(columns[way][0]):.1f} to {max(columns[way][0]):.1f})"
        cells = (f"{value:14.{digits}f}" for value, digits in zip(others, (1, 2, 0, 0, 0), strict=True))
        print(f"  {WAYS[way]:20} {total_s:9.1f} {spread:>14}{''.join(cells)}")
    for other in ("a", "c"):
        total, *others = (b / theirs for b, theirs in zip(middle["b"], middle[other], strict=True))
        print(
            f"  {f'(b) / ({other})':20} {total:9.2f} {'':14}{''.join(f'{ratio:14.2f}' for ratio in others)}"
        )
    print("  No worker has loaded TensorFlow.\n", flush=True)


if __name__ == "__main__":
    main()
