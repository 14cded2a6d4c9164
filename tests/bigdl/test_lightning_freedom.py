"""What Lightning lets models, callbacks and data modules do, they may do in the trials of a search."""

from __future__ import annotations

import gc
import os
import re
import time
import warnings
import weakref
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging, ModelCheckpoint
from torch.utils.data import DataLoader

import bigdl.nano.automl.hpo as hpo
import bigdl.nano.automl.hpo.space as space
from tests.bigdl.lightning_models import Bare, Small, digits, loader, net, searched, trainer

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:pytorch_lightning")  # torch's, of a pytree


@pytest.fixture(autouse=True)
def _a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def best_of(model: Any, by: Any = None, **kwargs: Any) -> tuple[Any, float, float]:
    """The best model with its kept weights, its value, and what it is worth when it is validated."""
    by = by or trainer()
    given = {"n_trials": 2, "max_epochs": 3, "keep_best": True, "show_progress_bar": False, **kwargs}
    best = by.search(model, **given)
    worth = trainer().validate(best, verbose=False)[0]["val_loss"]
    return best, by.search_summary().best_value, worth


# Weights that are kept


@hpo.plmodel()
class Configured(Small):
    """Its layers are made when a trainer asks for them."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.layers: Any = None

    def configure_model(self) -> None:
        if self.layers is None:
            width = self.hparams.width
            self.layers = torch.nn.Sequential(torch.nn.Linear(64, width), torch.nn.Linear(width, 10))


def test_layers_of_configure_model_have_the_kept_weights() -> None:
    _, value, worth = best_of(Configured(width=space.Int(4, 8)))
    assert worth == pytest.approx(value, rel=1e-5)


@hpo.plmodel()
class SetUp(Small):
    """Its last layer is made before a training, so that a new one has none."""

    def setup(self, stage: str) -> None:
        if not hasattr(self, "more"):
            self.more = torch.nn.Linear(10, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.more(self.layers(images))


def test_weights_that_do_not_fit_a_new_model_are_no_end_of_the_search() -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        best, _, _ = best_of(SetUp(width=space.Int(4, 8)))
    assert type(best) is SetUp
    says = r"kept of trial \d do not fit a new SetUp \(.*more\.weight.*\): the model is untrained\."
    assert any(re.search(says, str(one.message)) for one in said)


def test_averaged_weights_are_kept_where_they_are_what_was_validated() -> None:
    by = trainer(callbacks=[EMAWeightAveraging(decay=0.9)])
    _, value, worth = best_of(net(), by)
    assert worth == pytest.approx(value, rel=1e-5)


class Noted(torch.nn.Module):
    """Its state is more than tensors."""

    def get_extra_state(self) -> Any:
        return {"seen": [1, 2]}

    def set_extra_state(self, state: Any) -> None:
        self.seen = state["seen"]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@hpo.plmodel()
class WithState(Small):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.noted = Noted()
        self.register_buffer("view", torch.ones(1_000_000)[:4])


def test_states_may_hold_more_than_tensors_and_views_take_no_more_than_they_are(tmp_path: Path) -> None:
    best, value, worth = best_of(WithState(width=space.Int(4, 8)), run_dir=tmp_path / "run", draw="none")
    assert worth == pytest.approx(value, rel=1e-5)
    assert best.noted.seen == [1, 2]
    (kept,) = (tmp_path / "run" / "weights").iterdir()
    assert kept.stat().st_size < 100_000


# Arguments


@hpo.plmodel()
class Fed(Small):
    """It changes what it is given."""

    def __init__(self, settings: Any, part: Any, learning_rate: float) -> None:
        super().__init__(settings.pop("width"), learning_rate=learning_rate)
        self.part = part.layer
        NORMS.append(float(part.layer.weight.detach().norm()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(self.part(images))


NORMS: list[float] = []


@pytest.mark.filterwarnings("ignore:Attribute 'part' ")
def test_what_a_trial_changes_of_its_arguments_the_next_one_does_not_see() -> None:
    NORMS.clear()
    settings, part = {"width": 4}, SimpleNamespace(layer=torch.nn.Linear(64, 64))
    model = Fed(settings, part, learning_rate=space.Real(0.01, 0.1))
    study = searched(model, 3)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 3
    assert len(set(NORMS)) == 1
    assert settings == {"width": 4}


def test_data_among_arguments_are_not_copied() -> None:
    @hpo.plmodel()
    class Holding(Small):
        def __init__(self, data: Any, width: int) -> None:
            super().__init__(width)
            POINTERS.append((id(data["set"]), data["images"].data_ptr()))

    POINTERS.clear()
    held = {"set": loader(0, 64).dataset, "images": digits()[0]}
    searched(Holding(held, width=space.Int(4, 8)), 2)
    assert set(POINTERS) == {(id(held["set"]), held["images"].data_ptr())}


POINTERS: list[tuple[int, int]] = []


# Metrics


@hpo.plmodel()
class NowAndThen(Small):
    """One of its metrics is logged in every third epoch."""

    def on_validation_epoch_end(self) -> None:
        if self.current_epoch % 3 == 2:
            self.log("quality", float(self.current_epoch))


def test_a_metric_may_be_logged_in_some_epochs() -> None:
    study = searched(
        NowAndThen(width=space.Int(4, 8)), 1, target_metric="quality", direction="maximize", max_epochs=6
    )
    assert study.best_value == 5.0
    assert study.trials[0].user_attrs["history"]["quality"] == [2.0, 5.0]


@hpo.plmodel()
class OneName(Small):
    """Training and validation log the same name."""

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        loss = super().training_step(batch, index)
        self.log("loss", loss, on_epoch=True, on_step=False)
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("loss", 10.0 + self.current_epoch)


def test_of_training_and_validation_under_one_name_the_validation_counts() -> None:
    (trial,) = searched(OneName(width=space.Int(4, 8)), 1, target_metric="loss").trials
    assert trial.intermediate_values == {0: 10.0, 1: 11.0}
    assert trial.value == 10.0


# Latency and acceleration


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
def test_latency_is_measured_in_the_precision_of_the_model(precision: Any) -> None:
    by = trainer(precision=precision)
    study = searched(by=by, n_trials=1, target_metric=["val_loss", "latency"], max_epochs=1)
    assert study.trials[0].state.name == "COMPLETE"


@hpo.plmodel()
class NeedsTraining(Small):
    """It has a parameter of its own, and its validation asks for the optimizer, which a training has."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.bias = torch.nn.Parameter(torch.zeros(10))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images) + self.bias

    def on_validation_epoch_end(self) -> None:
        self.log("rate", self.optimizers().param_groups[0]["lr"])


def test_a_model_that_cannot_be_validated_alone_is_accelerated_by_its_outputs() -> None:
    from bigdl.nano.automl.pytorch import acceleration

    (trial,) = searched(NeedsTraining(width=space.Int(4, 8)), 1, acceleration=True, max_epochs=1).trials
    assert trial.state.name == "COMPLETE"
    assert trial.user_attrs["optimization"] in acceleration.METHODS
    assert isinstance(trial.user_attrs["optimizations"]["jit"], float)


@hpo.plmodel()
class Named(Small):
    """Its example names the arguments."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.example_input_array = {"scale": torch.ones(1), "images": digits()[0][:2]}

    def forward(self, images: torch.Tensor, scale: Any = 1.0) -> torch.Tensor:
        return self.layers(images * scale)


def test_an_example_may_name_the_arguments() -> None:
    study = searched(Named(width=space.Int(4, 8)), 1, target_metric="latency", max_epochs=1)
    assert study.trials[0].state.name == "COMPLETE"


# Callbacks and what they write


class Knows(pl.Callback):
    """It knows another callback."""

    def __init__(self, checkpoint: ModelCheckpoint) -> None:
        self.checkpoint = checkpoint

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        KNOWN.append(self.checkpoint is trainer.checkpoint_callback)


KNOWN: list[bool] = []


def test_callbacks_that_know_each_other_stay_together() -> None:
    KNOWN.clear()
    checkpoint = ModelCheckpoint("kept", monitor="val_loss")
    by = trainer(callbacks=[checkpoint, Knows(checkpoint)], enable_checkpointing=True)
    searched(by=by)
    assert KNOWN == [True, True]


@hpo.plmodel()
class BringsCheckpoint(Small):
    def configure_callbacks(self) -> Any:
        return ModelCheckpoint("brought", filename="best", enable_version_counter=False)


def test_checkpoints_that_a_model_brings_are_in_the_folders_of_trials(tmp_path: Path) -> None:
    by = trainer(enable_checkpointing=True)
    searched(BringsCheckpoint(width=space.Int(4, 8)), 2, by, n_parallels=2)
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.ckpt")}
    run = "nano-hpo-runs/bringscheckpoint/run-001/trials"
    assert {f"{run}/trial-0000{number}/brought/best.ckpt" for number in range(2)} <= files
    assert all(name.startswith(run) for name in files)


def test_in_memory_checkpoints_that_are_asked_for_do_not_meet(tmp_path: Path) -> None:
    fixed = ModelCheckpoint(filename="best", enable_version_counter=False)
    searched(by=trainer(callbacks=fixed, enable_checkpointing=True))
    assert len(list(tmp_path.rglob("best.ckpt"))) == 2


# Data


@hpo.plmodel()
class GivenData(Bare):
    pass


class Prepares(pl.LightningDataModule):
    """It makes its data as people do: unless they are there."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def prepare_data(self) -> None:
        if self.folder.exists():
            return
        self.folder.mkdir()
        time.sleep(0.5)
        (self.folder / "images").touch()

    def setup(self, stage: str) -> None:
        assert (self.folder / "images").exists()
        (self.folder.parent / f"pid-{os.getpid()}").touch()

    def train_dataloader(self) -> DataLoader:
        return loader(0, 64)

    def val_dataloader(self) -> DataLoader:
        return loader(64, 128)


def test_data_are_prepared_by_one_process_at_a_time(tmp_path: Path) -> None:
    data = Prepares(tmp_path / "data")
    study = searched(GivenData(width=space.Int(4, 8)), 4, n_parallels=2, datamodule=data)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 4


def test_loaders_in_a_list_may_be_made_by_functions() -> None:
    loaders: Mapping[str, Any] = {
        "train_dataloaders": lambda: loader(0, 64),
        "val_dataloaders": [lambda: loader(64, 128)],
    }
    assert len(searched(GivenData(width=space.Int(4, 8)), 1, **loaders).trials) == 1


# Memory


@hpo.plmodel()
class Large(Small):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.heavy = torch.nn.Parameter(torch.zeros(3_000_000))
        MODELS.add(self)
        ALIVE.append(len(MODELS))


MODELS: weakref.WeakSet[Any] = weakref.WeakSet()
ALIVE: list[int] = []


@pytest.mark.parametrize("is_asked", [False, True])
def test_a_large_model_is_gone_before_the_next_trial(is_asked: bool) -> None:
    ALIVE.clear()
    gc.collect()
    by = trainer(limit_train_batches=1, limit_val_batches=1)
    searched(Large(width=space.Int(4, 8)), 4, by, max_epochs=1, gc_after_trial=is_asked)
    assert ALIVE[:4] == [1] * 4
