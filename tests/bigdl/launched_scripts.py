"""Scripts that search, train the best and tell what they have seen, for tests that launch them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

RESULTS = {"run.json", "summary.json", "trials.csv", "trials.json"}

# A trial tells what it finds in its process: nothing of the launcher, an MPI world of its own, no handler of
# a framework. A rank tells what it found, and which files it wrote.
TELL = """
import json, os, signal, sys
from pathlib import Path

from orchestrator import rank

LAUNCHERS = ("OMPI_COMM", "OMPI_MCA_ess", "OMPI_MCA_orte", "PMI", "PRTE_", "SLURM_STEP", "SLURM_PMI")
LAUNCHERS += ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_NTASKS", "SLURM_TASK")
HANDLERS, WROTE = set(), set()


def note(event, args):
    writes = event == "open" and (args[2] or 0) & (os.O_WRONLY | os.O_RDWR)
    if writes or event == "os.rename":
        WROTE.add(os.path.basename(str(args[0] if writes else args[1])))


def handler():
    return getattr(signal.getsignal(signal.SIGUSR1), "__module__", "none")


def look():
    HANDLERS.add(handler())
    if "NANO_HPO_WORKER" in os.environ and not Path(f"saw-{os.getpid()}").exists():
        Path(f"saw-{os.getpid()}").touch()
        from mpi4py import MPI

        names = [name for name in os.environ if name.startswith(LAUNCHERS)]
        facts = {"names": names, "size": MPI.COMM_WORLD.Get_size(), "handler": handler()}
        Path(f"trial-{os.getpid()}.json").write_text(json.dumps(facts))


def tell(study, **found):
    found |= {"params": study.best_params, "value": study.best_value}
    found["states"] = [trial.state.name for trial in study.trials]
    facts = {"index": rank(), "found": found, "handlers": sorted(HANDLERS), "wrote": sorted(WROTE)}
    Path(f"told-{os.getpid()}").write_text(json.dumps(facts))
    Path(f"told-{os.getpid()}").rename(f"told-{os.getpid()}.json")


if __name__ == "__main__":
    sys.addaudithook(note)
"""

LIGHTNING = """
import pytorch_lightning as pl
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import bigdl.nano.automl.hpo as hpo
import bigdl.nano.automl.hpo.space as space
from bigdl.nano.pytorch import Trainer


def loader():
    generator = torch.Generator().manual_seed(1)
    data = TensorDataset(torch.rand(60, 8, generator=generator), torch.arange(60) % 3)
    return DataLoader(data, batch_size=20)


@hpo.plmodel()
class Net(pl.LightningModule):
    def __init__(self, width, rate):
        super().__init__()
        self.rate = rate
        self.layers = torch.nn.Sequential(torch.nn.Linear(8, width), torch.nn.Linear(width, 3))

    def training_step(self, batch, index):
        look()
        return functional.cross_entropy(self.layers(batch[0]), batch[1])

    def validation_step(self, batch, index):
        self.log("val_loss", functional.cross_entropy(self.layers(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.rate)


trainer = Trainer(max_epochs=1, use_hpo=True, enable_progress_bar=False, logger=False)
best = trainer.search(
    Net(width=space.Int(4, 16), rate=space.Real(1e-3, 1e-1, log=True)),
    n_trials=6,
    draw="none",
    train_dataloaders=loader(),
    val_dataloaders=loader(),
    show_progress_bar=False,
)
trainer.fit(best, loader(), loader())
plain = Trainer(max_epochs=1, enable_progress_bar=False, logger=False, enable_checkpointing=False)
plain.fit(best, loader(), loader())
assert plain.world_size == 1
tell(trainer.search_summary(), size=best.layers[0].out_features)
"""

KERAS = """
import numpy as np

import bigdl.nano.automl as nano_automl

nano_automl.hpo_config.enable_hpo_tf()

import keras

import bigdl.nano.automl.hpo.space as space
from bigdl.nano.automl.tf.keras import Sequential
from bigdl.nano.tf.keras.layers import Dense
from bigdl.nano.tf.optimizers import Adam


class Look(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        look()


x, y = np.random.default_rng(1).random((60, 8), dtype="float32"), np.arange(60) % 3
model = Sequential(
    [keras.Input(shape=(8,)), Dense(units=space.Int(4, 16), activation="relu"), Dense(3)]
)
model.compile(
    optimizer=Adam(learning_rate=space.Real(1e-3, 1e-1, log=True)),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
model.search(
    n_trials=6, target_metric="accuracy", direction="maximize", x=x, y=y, epochs=1, batch_size=20,
    validation_split=0.2, draw="none", show_progress_bar=False, callbacks=[Look()],
)
model.fit(x, y, epochs=1, verbose=0)
tell(model.search_summary(), size=model.layers[0].units)
"""


def check(told: list[dict[str, Any]], folder: Path, n_ranks: int, n_trials: int = 6) -> None:
    """Every rank has told the same, of a run of exactly so many trials, whose files were written once."""
    assert [facts["index"] for facts in told] == list(range(n_ranks))
    first = told[0]["found"]
    assert all(facts["found"] == first for facts in told)
    assert first["states"] == ["COMPLETE"] * n_trials
    assert first["size"] in first["params"].values()
    wrote = Counter(name for facts in told for name in RESULTS.intersection(facts["wrote"]))
    assert wrote == dict.fromkeys(RESULTS, 1)
    assert "run.json" in told[0]["wrote"]
    looks = [json.loads(file.read_text()) for file in folder.glob("**/trial-*.json")]
    assert looks
    assert all((look["names"], look["size"]) == ([], 1) for look in looks)
    handlers = {name for facts in told for name in facts["handlers"]} | {look["handler"] for look in looks}
    assert not any("lightning" in name for name in handlers)
