"""Scripts that search, then train, as ranks of mpirun: all come to the same best, and misread nothing."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.mpi import environment, launch_script, needs_open_mpi, open_mpi

# What a trial finds in its process: nothing of the launcher, and an MPI world of its own.
TELL = """
import json, os
from pathlib import Path

LAUNCHERS = ("OMPI_COMM", "OMPI_MCA_ess", "OMPI_MCA_orte", "PMI", "PRTE_", "SLURM_")


def look():
    if "NANO_HPO_WORKER" in os.environ and not Path(f"saw-{os.getpid()}").exists():
        Path(f"saw-{os.getpid()}").touch()
        from mpi4py import MPI

        names = [name for name in os.environ if name.startswith(LAUNCHERS)]
        Path(f"trial-{os.getpid()}.json").write_text(json.dumps([names, MPI.COMM_WORLD.Get_size()]))


def tell(study, **facts):
    facts |= {"params": study.best_params, "value": study.best_value, "n": len(study.trials)}
    Path(f"told-{os.getpid()}").write_text(json.dumps(facts))
    Path(f"told-{os.getpid()}").rename(f"told-{os.getpid()}.json")
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


@needs_open_mpi
@pytest.mark.parametrize(
    ("body", "framework"),
    [
        pytest.param(LIGHTNING, "pytorch_lightning", id="Lightning"),
        pytest.param(KERAS, "tensorflow", id="Keras"),
    ],
)
def test_every_rank_of_a_script_has_the_same_best_and_trains_it(
    tmp_path: Path, body: str, framework: str
) -> None:
    if find_spec(framework) is None:
        pytest.skip(f"{framework}: not installed")
    (tmp_path / "train.py").write_text(TELL + body)
    done = launch_script(open_mpi(2), "train.py", tmp_path, environment())
    assert done.code == 0, done.err
    first, second = done.told
    assert first == second
    assert first["n"] == 6
    assert first["size"] in first["params"].values()
    looks = [json.loads(file.read_text()) for file in tmp_path.glob("**/trial-*.json")]
    assert looks
    assert all(look == [[], 1] for look in looks)


# Lightning alone, in the environments of launchers

TASK = {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "search", "SLURM_STEP_ID": "0", "SLURM_NODEID": "0"}
TASK |= {"SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURM_NTASKS": "2", "SLURM_TASKS_PER_NODE": "2"}


@pytest.fixture
def as_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pytorch_lightning", reason="pytorch_lightning: not installed")
    for name, value in TASK.items():
        monkeypatch.setenv(name, value)


def environment_of(trainer) -> str:
    return type(trainer._accelerator_connector.cluster_environment).__name__


@pytest.mark.usefixtures("as_a_task")
@pytest.mark.parametrize("use_hpo", [True, False])
@pytest.mark.parametrize("devices", [{}, {"devices": 1}, {"devices": "auto", "accelerator": "cpu"}])
def test_a_trainer_of_a_task_of_slurm_trains_for_itself(use_hpo: bool, devices: dict) -> None:
    from bigdl.nano.pytorch import Trainer

    trainer = Trainer(max_epochs=1, use_hpo=use_hpo, logger=False, enable_checkpointing=False, **devices)
    assert (environment_of(trainer), trainer.world_size) == ("LightningEnvironment", 1)


@pytest.mark.usefixtures("as_a_task")
def test_a_trainer_that_is_asked_for_several_devices_is_a_task_among_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from bigdl.nano.pytorch import Trainer

    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "2")
    monkeypatch.setenv("SLURM_NNODES", "1")
    trainer = Trainer(max_epochs=1, accelerator="cpu", devices=2, logger=False, enable_checkpointing=False)
    assert (environment_of(trainer), trainer.world_size) == ("SLURMEnvironment", 2)


def test_mpi_is_not_begun_to_ask_how_many_ranks_there_are(tmp_path: Path) -> None:
    pytest.importorskip("pytorch_lightning", reason="pytorch_lightning: not installed")
    body = """
import sys

from bigdl.nano.pytorch import Trainer

Trainer(max_epochs=1, logger=False, enable_checkpointing=False)
assert "mpi4py.MPI" not in sys.modules
"""
    (tmp_path / "train.py").write_text(body)
    done = launch_script([], "train.py", tmp_path, environment())
    assert done.code == 0, done.err
