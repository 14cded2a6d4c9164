"""A search over a Lightning model in this process: what it stores, what it refuses, what comes after it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import optuna
import pytest
import pytorch_lightning as pl
import torch
from optuna.trial import TrialState
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from torch.utils.data import DataLoader

import bigdl.nano.automl.hpo as hpo
import bigdl.nano.automl.hpo.space as space
from bigdl.nano.automl.hpo.backend import PrunerType, SamplerType
from bigdl.nano.automl.pytorch import HPOSearcher
from bigdl.nano.pytorch import Trainer
from orchestrator import RunFailed
from tests.bigdl.lightning_models import Bare, Net, Small, digits, loader, net, searched, trainer

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning:pytorch_lightning",  # torch's, of a pytree
    "ignore::pytorch_lightning.utilities.warnings.PossibleUserWarning",
)


@pytest.fixture(autouse=True)
def _a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def histories(study: optuna.Study) -> list[dict[str, list[float]]]:
    return [trial.user_attrs["history"] for trial in study.trials]


# What is stored


def test_a_trial_has_its_parameters_its_history_and_its_value() -> None:
    study = searched(net(rate=space.Categorical(0.1, 0.2)), 3)
    for trial in study.trials:
        assert trial.params.keys() == {"width", "learning_rate", "rate\u2581choice"}
        history = trial.user_attrs["history"]
        assert {"train_loss", "val_loss", "val_acc"} <= history.keys()
        assert trial.user_attrs["epochs"] == 2 == len(history["val_loss"]) == len(history["train_loss"])
        assert trial.intermediate_values == pytest.approx(dict(enumerate(history["val_loss"])))
        assert trial.value == pytest.approx(min(history["val_loss"]))
    assert study.direction.name == "MINIMIZE"


def test_nothing_is_written_by_a_search_in_memory(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice to install TensorBoard
        by = Trainer(use_hpo=True, accelerator="cpu", enable_progress_bar=False)
    searched(by=by)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("mode", "choose"), [("best", min), ("last", lambda values: values[-1])])
def test_the_mode_says_which_epoch_counts(mode: str, choose: Any) -> None:
    study = searched(net(learning_rate=space.Categorical(0.5, 1.0)), 2, mode=mode, max_epochs=4)
    for trial in study.trials:
        assert trial.value == pytest.approx(choose(trial.user_attrs["history"]["val_loss"]))


def test_the_direction_follows_from_the_metric() -> None:
    assert searched(target_metric="val_acc").direction.name == "MAXIMIZE"


def test_several_objectives_are_of_one_epoch_and_give_a_list_of_models() -> None:
    by = trainer()
    models = by.search(
        net(), n_trials=3, target_metric=["val_acc", "val_loss"], max_epochs=3, show_progress_bar=False
    )
    study = by.search_summary()
    assert [way.name for way in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    for trial in study.trials:
        history = trial.user_attrs["history"]
        best = max(range(3), key=lambda epoch: history["val_acc"][epoch])
        assert trial.values == pytest.approx([history["val_acc"][best], history["val_loss"][best]])
    assert [model.hparams.width for model in models] == [one.params["width"] for one in study.best_trials]
    assert study.metric_names == ["val_acc", "val_loss"]


def test_the_seed_decides_about_parameters_weights_and_batches() -> None:
    first, again, other = (searched(seed=seed) for seed in (1, 1, 2))
    assert histories(first) == histories(again) != histories(other)


def test_the_sampler_hears_its_arguments_by_name() -> None:
    first, again, other = (
        searched(sampler=SamplerType.Random, sampler_kwargs={"seed": seed}) for seed in (42, 42, 43)
    )
    params = [[trial.params for trial in study.trials] for study in (first, again, other)]
    assert params[0] == params[1] != params[2]


def test_every_trial_begins_afresh() -> None:
    """The same parameters and seed, in a study of their own or behind another trial, come to the same."""
    grid = {"sampler": "grid", "sampler_kwargs": {"search_space": {"width": [8]}}}
    model = net(width=space.Int(4, 32), learning_rate=0.01)
    one = searched(model, 1, seed=3, **grid)
    fixed = {"sampler": "partialfixed", "sampler_kwargs": {"fixed_params": {"width": 8}}}
    assert histories(searched(model, 2, seed=3, **fixed))[0] == histories(one)[0]


@hpo.plmodel()
class Backbone(Small):
    """Its first layers are given."""

    def __init__(self, backbone: torch.nn.Module, width: int, parts: Any = ()) -> None:
        super().__init__(width)
        self.layers[0] = backbone
        self.layers[3] = torch.nn.Linear(8, 10)
        PARTS.append((id(backbone), *map(id, parts), float(backbone.weight.detach().sum())))


PARTS: list[Any] = []


@pytest.mark.filterwarnings("ignore:Attribute '(backbone|parts)' ")
def test_a_module_that_was_made_before_is_not_trained_by_one_trial_for_the_next() -> None:
    PARTS.clear()
    backbone = torch.nn.Linear(64, 8)
    before = float(backbone.weight.detach().sum())
    by = trainer()
    model = Backbone(backbone, width=space.Int(4, 8), parts=[backbone])
    best = by.search(model, n_trials=3, max_epochs=2, show_progress_bar=False)
    assert [weight for *_, weight in PARTS] == [before] * 4
    assert all(one == other != id(backbone) for one, other, _ in PARTS), "one module stays one"
    assert best.layers[0] is not backbone
    assert float(backbone.weight.detach().sum()) == before


# Metrics, wherever the model logs them


class Late(Small):
    """It logs in every place that Lightning knows."""

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        loss = super().training_step(batch, index)
        self.log("by_batch", loss, on_step=True, on_epoch=False)
        return loss

    def on_train_epoch_end(self) -> None:
        self.log("at_the_end", float(self.current_epoch))

    def on_validation_epoch_end(self) -> None:
        self.log("of_validation", float(10 + self.current_epoch))


late = hpo.plmodel()(Late)


@pytest.mark.parametrize(
    ("metric", "values"),
    [("at_the_end", [0.0, 1.0, 2.0]), ("of_validation", [10.0, 11.0, 12.0]), ("by_batch", None)],
)
def test_a_metric_counts_wherever_it_is_logged(metric: str, values: list[float] | None) -> None:
    study = searched(
        late(width=space.Int(4, 8)), 1, target_metric=metric, direction="minimize", mode="last", max_epochs=3
    )
    (trial,) = study.trials
    history = trial.user_attrs["history"][metric]
    assert trial.value == pytest.approx(history[-1])
    assert trial.intermediate_values == pytest.approx(dict(enumerate(history)))
    assert len(history) == 3
    assert values is None or history == values


def test_validations_within_an_epoch_are_steps_of_their_own() -> None:
    by = trainer(val_check_interval=0.5)
    (trial,) = searched(late(width=space.Int(4, 8)), 1, by=by).trials
    assert len(trial.intermediate_values) == 4
    assert trial.user_attrs["epochs"] == 2
    assert trial.user_attrs["history"]["at_the_end"] == [0.0, 1.0]


def test_epochs_without_validation_are_no_steps_of_its_metric() -> None:
    by = trainer(check_val_every_n_epoch=2)
    (trial,) = searched(n_trials=1, by=by, max_epochs=4).trials
    assert len(trial.user_attrs["history"]["val_loss"]) == 2
    assert len(trial.user_attrs["history"]["train_loss"]) == 4
    assert trial.user_attrs["epochs"] == 4


def test_without_validation_an_epoch_is_a_step() -> None:
    @hpo.plmodel()
    class Unvalidated(Bare):
        def train_dataloader(self) -> DataLoader:
            return loader(0, 128)

    model = Unvalidated(width=space.Int(4, 8))
    (trial,) = searched(model, 1, target_metric="train_loss_epoch", by=trainer(limit_val_batches=0)).trials
    assert list(trial.intermediate_values) == [0, 1]


def test_a_metric_that_is_not_logged_ends_a_trial_after_its_first_epoch() -> None:
    epochs = []

    class Count(pl.Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            epochs.append(trainer.current_epoch)

    says = r"no metric 'val_los'; this model reports .*val_loss.*Did you mean 'val_loss'\?\)\.$"
    with pytest.raises(RunFailed, match=says):
        searched(
            n_trials=9,
            target_metric="val_los",
            direction="minimize",
            max_epochs=50,
            by=trainer(callbacks=Count()),
        )
    assert set(epochs) == {0}


# Epochs, pruning, callbacks


def test_epochs_of_trials_are_those_of_the_search_and_those_of_fit_the_trainers() -> None:
    by = trainer(max_epochs=3)
    best = by.search(net(), n_trials=2, max_epochs=1, show_progress_bar=False)
    assert [trial.user_attrs["epochs"] for trial in by.search_summary().trials] == [1, 1]
    by.fit(best)
    assert by.current_epoch == 3
    searched(by=by, max_epochs=None)
    assert [trial.user_attrs["epochs"] for trial in by.search_summary().trials] == [3, 3]


@pytest.mark.parametrize("pruner", [PrunerType.Threshold, "threshold"])
def test_hopeless_trials_are_pruned_within_their_training(pruner: Any) -> None:
    by = trainer()
    with pytest.raises(ValueError, match=r"No trial of the search is complete \(2 pruned\)"):
        searched(n_trials=2, by=by, pruner=pruner, pruner_kwargs={"upper": 0.0}, max_epochs=5)
    for trial in by.search_summary().trials:
        assert trial.state is TrialState.PRUNED
        assert list(trial.intermediate_values) == [0]
        assert len(trial.user_attrs["history"]["val_loss"]) == 1


class Remember(pl.Callback):
    """What it has seen; copies share the list of all."""

    all_: list[Any] = []  # noqa: RUF012

    def __init__(self) -> None:
        self.fits = 0
        self.ended: list[str] = []

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        self.fits += 1
        self.all_.append(self)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self.ended.append(type(exception).__name__)


def test_callbacks_are_in_every_trial_and_each_has_its_own() -> None:
    Remember.all_.clear()
    mine = Remember()
    by = trainer(callbacks=[mine, EarlyStopping("val_loss", patience=0, min_delta=9.0)], max_epochs=1)
    by.fit(Net(4))  # what a training leaves in a callback does not reach the trials
    study = searched(n_trials=2, by=by, max_epochs=9)
    assert [one.fits for one in Remember.all_] == [1, 1, 1]
    assert len({id(one) for one in Remember.all_}) == 3
    assert Remember.all_[0] is mine
    assert [trial.user_attrs["epochs"] for trial in study.trials] == [2, 2]


def test_callbacks_hear_of_pruning() -> None:
    Remember.all_.clear()
    with pytest.raises(ValueError, match="1 pruned"):
        searched(
            n_trials=1, by=trainer(callbacks=Remember()), pruner="threshold", pruner_kwargs={"upper": 0.0}
        )
    assert Remember.all_[0].ended == ["TrialPruned"]


def test_search_callbacks_are_called_after_each_trial() -> None:
    seen: list[int] = []
    searched(n_trials=2, tune_callbacks=[lambda study, trial: seen.append(trial.number)])
    assert seen == [0, 1]


# Data


def test_loaders_may_be_given_and_each_trial_has_its_own() -> None:
    bare = hpo.plmodel()(type("Given", (Bare,), {}))
    generator = torch.Generator().manual_seed(5)
    given = {"train_dataloaders": loader(0, 128, shuffle=True, generator=generator)}
    given["val_dataloaders"] = [loader(128, 192)]
    study = searched(bare(width=space.Categorical(8)), 2, **given)
    assert len(histories(study)) == 2
    assert torch.equal(generator.get_state(), torch.Generator().manual_seed(5).get_state())


def test_data_may_be_made_by_functions() -> None:
    bare = hpo.plmodel()(type("Made", (Bare,), {}))
    made: list[int] = []

    def training() -> DataLoader:
        made.append(1)
        return loader(0, 64)

    given = {"train_dataloaders": training, "val_dataloaders": lambda: loader(128, 192)}
    searched(bare(width=space.Int(4, 8)), 2, **given)
    assert made == [1, 1]


class Digits(pl.LightningDataModule):
    """It counts in itself, and holds a large tensor and a lambda."""

    def __init__(self, batch_size: int = 32) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.setups = 0
        self.images = digits()[0]
        self.cut = lambda n: n

    def setup(self, stage: str) -> None:
        self.setups += 1
        SETUPS.append((id(self), self.setups, self.images.data_ptr(), self.batch_size))

    def train_dataloader(self) -> DataLoader:
        return loader(0, self.cut(128), batch_size=self.batch_size)

    def val_dataloader(self) -> DataLoader:
        return loader(128, 192)


SETUPS: list[tuple[int, int, int, int]] = []


@pytest.mark.parametrize("name", ["datamodule", "train_dataloaders"])
def test_a_data_module_is_copied_for_each_trial_but_not_its_data(name: str) -> None:
    SETUPS.clear()
    bare = hpo.plmodel()(type("Moduled", (Bare,), {}))
    data = Digits()
    searched(bare(width=space.Int(4, 8)), 2, **{name: data})
    assert [setups for _, setups, _, _ in SETUPS] == [1, 1]
    assert {pointer for _, _, pointer, _ in SETUPS} == {data.images.data_ptr()}
    assert data.setups == 0


def test_a_data_module_may_be_searched() -> None:
    SETUPS.clear()
    bare = hpo.plmodel()(type("Both", (Bare,), {}))
    data = hpo.obj()(Digits)(batch_size=space.Categorical(16, 64))
    study = searched(bare(width=space.Int(4, 8)), 3, datamodule=data, seed=2)
    sizes = [trial.params["batch_size\u2581choice"] for trial in study.trials]
    assert [size for _, _, _, size in SETUPS] == sizes
    assert set(sizes) == {16, 64}


# Where trials write


def test_loggers_and_checkpoints_of_a_run_are_in_the_folders_of_its_trials(tmp_path: Path) -> None:
    by = trainer(
        logger=[CSVLogger("my logs", name="mine"), CSVLogger("others", version="v")],
        callbacks=[
            ModelCheckpoint("my checkpoints", filename="{epoch}"),
            ModelCheckpoint(monitor="val_loss", filename="free"),
        ],
        enable_checkpointing=True,
    )
    searched(by=by, run_dir=tmp_path / "run")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
    for number in range(2):
        folder = tmp_path / "run" / "trials" / f"trial-{number:05d}"
        files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert {"my checkpoints/epoch=1.ckpt", "my logs/mine/version_0/metrics.csv"} <= files
        assert "others/lightning_logs/v/metrics.csv" in files
        assert any(name.endswith("free.ckpt") for name in files)


def test_unasked_a_trial_of_a_run_writes_its_metrics_and_no_checkpoint(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice to install TensorBoard
        by = Trainer(use_hpo=True, accelerator="cpu")
    searched(by=by, run_dir=tmp_path / "run")
    folder = tmp_path / "run" / "trials" / "trial-00001"
    assert sorted(path.name for path in folder.iterdir()) == ["hparams.yaml", "metrics.csv"]
    assert "val_loss" in (folder / "metrics.csv").read_text()


def test_without_a_logger_there_are_no_folders(tmp_path: Path) -> None:
    searched(run_dir=tmp_path / "run")
    assert list((tmp_path / "run" / "trials").iterdir()) == []


def test_in_memory_trials_write_below_the_folder_that_was_given(tmp_path: Path) -> None:
    by = trainer(logger=CSVLogger("logs"), callbacks=ModelCheckpoint("kept"), enable_checkpointing=True)
    searched(by=by)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "logs"]
    for name in ("kept", "logs"):
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["trial-00000", "trial-00001"]


def test_a_trial_that_is_tried_again_has_another_folder(tmp_path: Path) -> None:
    from bigdl.nano.automl.pytorch.trial_trainer import TrialFolder

    first, second = (TrialFolder(tmp_path, 3).root(None) for _ in range(2))
    assert [Path(folder).name for folder in (first, second)] == ["trial-00003", "trial-00003-2"]


# What comes after


def test_the_best_model_has_the_best_parameters_and_can_be_trained() -> None:
    by = trainer(max_epochs=3)
    best = by.search(net(), n_trials=3, max_epochs=1, seed=1, show_progress_bar=False)
    assert type(best) is Net
    assert {
        name: best.hparams[name] for name in ("width", "learning_rate")
    } == by.search_summary().best_params
    untrained = by.validate(best, verbose=False)[0]["val_loss"]
    by.fit(best)
    assert best.trainer is by
    assert by.validate(best, verbose=False)[0]["val_loss"] < untrained


def test_a_model_of_any_trial_can_be_made() -> None:
    by = trainer()
    study = searched(n_trials=3, by=by)
    for trial in study.trials:
        assert by.end_search(use_trial_id=trial.number).hparams.width == trial.params["width"]
    assert by.end_search().hparams.width == study.best_params["width"]
    with pytest.raises(ValueError, match="use_trial_id is 9; the search has trials 0 to 2"):
        by.end_search(9)


@pytest.mark.parametrize("mode", ["best", "last"])
def test_kept_weights_are_those_of_the_epoch_that_counts(mode: str) -> None:
    by = trainer()
    best = by.search(
        net(learning_rate=space.Categorical(0.3, 0.5)),
        n_trials=3,
        max_epochs=4,
        mode=mode,
        keep_best=True,
        seed=1,
        show_progress_bar=False,
    )
    value = by.validate(best, verbose=False)[0]["val_loss"]
    assert value == pytest.approx(by.search_summary().best_value, rel=1e-5)
    fresh = by.end_search(use_kept_weights=False)
    assert by.validate(fresh, verbose=False)[0]["val_loss"] != pytest.approx(value, rel=1e-5)


def test_a_search_goes_on_in_the_same_trainer_and_begins_anew_without_resume() -> None:
    by = trainer()
    first = [trial.params for trial in searched(by=by).trials]
    both = [trial.params for trial in searched(by=by, resume=True).trials]
    assert both[:2] == first
    assert len(both) == 4
    assert len(searched(by=by).trials) == 2


@pytest.mark.parametrize(
    "storage_url", [pytest.param("sqlite", marks=pytest.mark.long), "mariadb"], indirect=True
)
def test_a_stored_search_is_resumed_by_another_trainer(storage_url: str) -> None:
    where = {"storage": storage_url, "study_name": "mine"}
    searched(**where)
    assert len(searched(resume=True, **where).trials) == 4
    assert len(optuna.load_study(study_name="mine", storage=storage_url).trials) == 4


def test_a_searcher_works_with_a_trainer_of_ours() -> None:
    searcher = HPOSearcher(trainer())
    best = searcher.search(net(), n_trials=2, max_epochs=1, show_progress_bar=False)
    assert best.hparams.width == searcher.search_summary().best_params["width"]
    assert searcher.end_search(0).hparams.width == searcher.search_summary().trials[0].params["width"]
    with pytest.raises(TypeError, match=r"a Trainer of bigdl\.nano\.pytorch, not of pytorch_lightning"):
        HPOSearcher(pl.Trainer(accelerator="cpu", logger=False))


def test_a_trainer_is_lightnings_in_all_else() -> None:
    by = trainer(max_epochs=1, callbacks=[Remember()])
    assert isinstance(by, pl.Trainer)
    by.fit(Net(8))
    assert by.test is not None
    assert "val_loss" in by.callback_metrics


# What is refused


@pytest.mark.parametrize(
    ("given", "kind", "says"),
    [
        ({"n_trails": 3}, TypeError, r"no argument 'n_trails'\. Did you mean n_trials\?"),
        ({"mode": "mean"}, ValueError, "mode is 'mean'; choose from best, last"),
        ({"dataloaders": 1}, TypeError, r"no argument 'dataloaders'\. Did you mean train_dataloaders\?"),
        ({"max_epochs": True}, ValueError, "max_epochs is True; give a number"),
        ({"acceleration": "jit"}, TypeError, "acceleration is 'jit'; it must be True or False"),
        ({"max_epochs": 0}, ValueError, "max_epochs is 0; give a number of epochs from 1 on"),
        ({"target_metric": []}, ValueError, "give the name of a metric"),
        ({"target_metric": "reward"}, ValueError, "Is a larger reward better"),
        ({"direction": "maximize"}, ValueError, "val_loss cannot be maximised"),
        (
            {"target_metric": ["val_loss", "latency"], "pruner": "median"},
            ValueError,
            "several metrics cannot be pruned",
        ),
        ({"target_metric": "latency", "pruner": "median"}, ValueError, "latency alone cannot be pruned"),
        (
            {"input_sample": [[1.0]]},
            TypeError,
            "input_sample is a list; give a tensor, or a tuple of tensors",
        ),
        ({"resume": True}, ValueError, "resume=True: this model has not been searched"),
        ({"n_trials": None}, ValueError, "A search needs an end"),
        ({"datamodule": Digits(), "val_dataloaders": loader(0, 9)}, ValueError, "or a datamodule, not both"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_before_anything_runs(given: Any, kind: Any, says: str) -> None:
    with pytest.raises(kind, match=says):
        trainer().search(net(), **{"n_trials": 1, **given})


def test_models_that_cannot_be_searched_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Net was made with values alone.*Net\(width=space\.Int"):
        trainer().search(Net(8), n_trials=1)
    with pytest.raises(TypeError, match=r"decorated with @hpo\.plmodel\(\); this is <class"):
        trainer().search(Net, n_trials=1)
    stranger = hpo.plmodel()(type("LightningModule", (), {"__init__": lambda self, width: None}))
    with pytest.raises(TypeError, match=r"no LightningModule of pytorch_lightning.*lightning\.pytorch"):
        trainer().search(stranger(width=space.Int(1, 2)), n_trials=1)


def test_a_search_is_asked_for() -> None:
    by = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    with pytest.raises(ValueError, match=r"search needs Trainer\(…, use_hpo=True\)"):
        by.search(net(), n_trials=1)
    with pytest.raises(ValueError, match="There has been no search"):
        by.search_summary()


@pytest.mark.parametrize("given", [{"devices": 2}, {"devices": 2, "strategy": "ddp"}, {"num_nodes": 2}])
def test_trainers_of_several_processes_are_refused(given: Any) -> None:
    by = trainer(**{"devices": 1, **given})
    with pytest.raises(ValueError, match="a trial of a search trains in one process; leave it out"):
        by.search(net(), n_trials=1)


def test_a_search_needs_training_data() -> None:
    bare = hpo.plmodel()(type("NoData", (Bare,), {}))
    with pytest.raises(
        ValueError, match="no training data: give train_dataloaders or datamodule, or NoData a"
    ):
        trainer().search(bare(width=space.Int(4, 8)), n_trials=1)


@pytest.mark.parametrize("devices", ["auto", -1, None])
def test_a_trial_takes_one_device(devices: Any) -> None:
    from bigdl.nano.automl.pytorch.trial_trainer import TrialFolder, make_trainer
    from bigdl.nano.pytorch.recipe import TrainerRecipe

    given = {"accelerator": "cpu", "logger": False} | ({"devices": devices} if devices else {})
    asked: dict[str, Any] = {}

    class Asking(TrainerRecipe):
        def arguments(self, given: Any = None) -> Any:
            asked.update(given)
            return super().arguments(given)

    make_trainer(Asking(given), optuna.trial.FixedTrial({}), TrialFolder(None, 0), 1, [])
    assert asked["devices"] == 1


def test_a_trainer_that_logs_nothing_is_refused() -> None:
    by = Trainer(barebones=True, use_hpo=True, accelerator="cpu")
    with pytest.raises(ValueError, match="barebones=True logs no metric"):
        by.search(net(), n_trials=1)


def test_a_space_among_the_arguments_of_the_trainer_is_refused() -> None:
    with pytest.raises(
        TypeError, match="Trainer: gradient_clip_val cannot be a search space; give it to the model"
    ):
        trainer(gradient_clip_val=space.Real(0.1, 1.0))


def test_a_callback_that_cannot_be_copied_is_refused() -> None:
    class Open(pl.Callback):
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError("cannot pickle '_io.TextIOWrapper' object")

    with pytest.raises(TypeError, match=r"Open cannot be copied for each trial \(cannot pickle"):
        searched(by=trainer(callbacks=Open()))


def test_a_search_without_a_complete_trial_says_why_and_keeps_its_study() -> None:
    by = trainer()

    @hpo.plmodel()
    class Broken(Small):
        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            raise OSError("the disk is gone")

    with pytest.raises(ValueError, match=r"No trial of the search is complete\. Trial 0: .*the disk is gone"):
        searched(Broken(width=space.Int(4, 8)), 1, by=by)
    assert by.search_summary().trials[0].state is TrialState.FAIL


# Old names


@pytest.mark.parametrize(
    ("given", "today"),
    [
        ({"checkpoint_callback": False}, {"enable_checkpointing": False}),
        ({"num_processes": None}, {}),
        ({"num_processes": 1}, {}),
        ({"num_processes": 2}, {"accelerator": "cpu", "devices": 2}),
        ({"gpus": 0}, {}),
        ({"terminate_on_nan": True}, {"detect_anomaly": True}),
        ({"weights_summary": None}, {"enable_model_summary": False}),
        ({"progress_bar_refresh_rate": 0}, {"enable_progress_bar": False}),
        ({"distributed_backend": "subprocess", "auto_lr": True}, {}),
    ],
)
def test_arguments_of_old_lightning_and_nano_are_understood_with_one_line(given: Any, today: Any) -> None:
    from bigdl.nano.pytorch.arguments import modern

    with pytest.warns(FutureWarning, match="Arguments of an older Lightning or Nano: ") as said:
        assert modern({"max_epochs": 3, **given}, ()) == {"max_epochs": 3, **today}
    assert len(said) == 1
    assert all(name in str(said[0].message) for name in given)


def test_old_arguments_reach_the_trainer() -> None:
    quiet = {"logger": False, "accelerator": "cpu", "enable_progress_bar": False}
    with pytest.warns(FutureWarning, match="checkpoint_callback .*num_processes"):
        by = Trainer(checkpoint_callback=False, num_processes=1, max_epochs=1, **quiet)
    assert by.checkpoint_callback is None


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("resume_from_checkpoint", r"any more; write trainer\.fit\(model, ckpt_path=\)"),
        ("auto_lr_find", "any more; .*or search the learning rate"),
        ("max_epoch", r"no argument 'max_epoch'\. Did you mean max_epochs\?"),
        ("use_hop", r"Did you mean use_hpo\?"),
    ],
)
def test_arguments_that_are_gone_or_mistyped_are_refused(name: str, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        Trainer(**{name: 1})


# Launched by Slurm


def test_a_task_of_slurm_is_not_taken_for_a_rank_of_lightning(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"NTASKS": "4", "JOB_ID": "7", "JOB_NAME": "search", "NODELIST": "node1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    with pytest.raises(RuntimeError, match="ntasks"):
        pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    by = trainer(max_epochs=1)
    study = searched(by=by)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 2
    by.fit(by.end_search())


# Signals


INTERRUPTED = """
import os, signal, sys, threading
import pytorch_lightning as pl
import bigdl.nano.automl.hpo.space as space
from tests.bigdl.lightning_models import net, trainer

class Send(pl.Callback):
    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            for _ in range(int(sys.argv[2])):
                os.kill(os.getpid(), getattr(signal, sys.argv[1]))

by = trainer(callbacks=Send())
try:
    by.search(net(), n_trials=3, max_epochs=4, show_progress_bar=False)
except KeyboardInterrupt:
    print("interrupted")
for trial in by.search_summary().trials if by._searcher._searched else ():
    print(trial.state.name, trial.user_attrs["epochs"])
"""


@pytest.mark.parametrize(
    ("name", "count", "prints"),
    [("SIGINT", 1, "COMPLETE 4\n"), ("SIGTERM", 1, "COMPLETE 4\n"), ("SIGINT", 2, "interrupted\n")],
)
def test_a_signal_ends_the_search_after_the_trial_and_a_second_one_at_once(
    name: str, count: int, prints: str
) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", INTERRUPTED, name, str(count)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True, check=False
    )
    assert done.stdout == prints, done.stderr


def test_handlers_of_signals_are_as_before() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with warnings.catch_warnings():
        searched(n_trials=1)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
