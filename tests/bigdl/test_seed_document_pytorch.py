"""The user guide of BigDL-Nano's AutoML: its code blocks for PyTorch users run, word for word.

A block runs as it is written but for its ``...``, which a test fills, and for numbers that would take hours;
a search is told besides in how many processes and on which database it runs.
What the guide takes for granted (``pl``, ``torch``, data) stands in ``READER``, and what it leaves out of its
classes (a training step, say) in ``REST``.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.bigdl.guide import (
    GUIDE,
    SETUP_DB,
    Names,
    blocks_for,
    choice,
    digest,
    filled,
    finished,
    run,
    run_script,
)

pytestmark = [
    pytest.mark.skipif(find_spec("pytorch_lightning") is None, reason="Lightning: not installed"),
    # What Lightning says in a training by hand: torch's word to it, and advice on loaders.
    pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings(r"ignore:The '\w+_dataloader' does not have many workers"),
    pytest.mark.filterwarnings(r"ignore:The number of training batches \(\d+\) is smaller than the logging"),
]

# The guide's blocks in their order.

ARCHITECTURE = '''\
import bigdl.nano.automl.hpo.space as space
import bigdl.nano.automl.hpo as hpo

@hpo.plmodel()
class MyModel(pl.LightningModule):
    """Customized Model."""
    def __init__(self,out_dim1,out_dim2,dropout_1,dropout_2):
        super().__init__()
        layers = []
        input_dim = 32
        for out_dim, dropout in [(out_dim1, dropout_1),(out_dim2,dropout_2)]:
            layers.append(torch.nn.Linear(input_dim, out_dim))
            layers.append(torch.nn.Tanh())
            layers.append(torch.nn.Dropout(dropout))
            input_dim = out_dim
        layers.append(torch.nn.Linear(input_dim, 2))
        self.layers: torch.nn.Module = torch.nn.Sequential(*layers)
        self.save_hyperparameters()
    def forward(self, x):
        return self.layers(x)

model = MyModel(
    out_dim1=space.Categorical(16,32),
    out_dim2=space.Categorical(16,32),
    dropout_1=space.Categorical(0.1, 0.2, 0.3, 0.4, 0.5),
    dropout_2 = 0.5)
'''

LEARNING_RATE = """\
import bigdl.nano.automl.hpo.space as space
import bigdl.nano.automl.hpo as hpo

@hpo.plmodel()
class MyModel(pl.LightningModule):
    def __init__(self, ..., learning_rate=0.1):
        ...
        self.save_hyperparameters()
    def configure_optimizers(self):
        # set learning rate in the optimizer
        self.optimizer = torch.optim.Adam(self.layers.parameters(),
                                        lr=self.hparams.learning_rate)
        return [self.optimizer], []
model = MyModel(..., learning_rate=space.Real(0.001,0.01,log=True))
"""

BATCH_SIZE = """\
import bigdl.nano.automl.hpo.space as space
import bigdl.nano.automl.hpo as hpo
@hpo.plmodel()
class MyModel(pl.LightningModule):
    def __init__(self, ..., batch_size=16):
        ...
        self.save_hyperparameters()
    def train_dataloader(self):
        # set the batch size in train dataloader
        return DataLoader(RandomDataset(32, 64),
                        batch_size=self.hparams.batch_size)
model = MyModel(..., batch_size = space.Categorical(32,64))
"""

LAUNCH = """\
from bigdl.nano.pytorch import Trainer
model = MyModel(...)
trainer = Trainer(...,use_hpo=True)
best_model = trainer.search(
    model,
    target_metric='val_loss',
    direction='minimize',
    n_trials=100,
    max_epochs=20,
)
study = trainer.search_summary()
trainer.fit(best_model)
"""

RESUME = """\
name = "resume-example"
storage = "sqlite:///example.db"
#the first search from scratch
trainer.search(study_name=name, storage=storage,...)
# the resumed search
trainer.search(study_name=name, storage=storage, resume=True,...)
"""

PARALLEL = """\
name = "parallel-example-torch"
storage = "mysql://bigdlhpo@localhost/example"
#the first search from scratch
trainer.search(study_name=name,
           storage=storage,
           n_parallels=8,
           ...)
"""

DATAFRAME = """\
...
study = trainer.search_summary()
trials_df = study.trials_dataframe(attrs=("number", "value", "params", "state"))
"""

HISTORY = """\
...
study = trainer.search_summary()

from bigdl.nano.automl.hpo.visualization import plot_optimization_history
plot_optimization_history(study)
"""

INTERMEDIATE = """\
...
study = trainer.search_summary()

from bigdl.nano.automl.hpo.visualization import plot_intermediate_values
plot_intermediate_values(study)
"""

COORDINATES = """\
...
study = trainer.search_summary()

from bigdl.nano.automl.hpo.visualization import plot_parallel_coordinate
plot_parallel_coordinate(study)
"""

CONTOUR = """\
...
study = trainer.search_summary()

from bigdl.nano.automl.hpo.visualization import plot_contour
plot_contour(study)
"""

IMPORTANCES = """\
...
study = trainer.search_summary()

from bigdl.nano.automl.hpo.visualization import plot_param_importances
plot_param_importances(study)
"""

IMPORTANCES_OF_DURATION = """\
...
study = trainer.search_summary()

from bigdl.nano.automl.hpo.visualization import plot_param_importances
plot_param_importances(study, target=lambda t: t.duration.total_seconds(), target_name="duration")
"""

BLOCKS = [
    ARCHITECTURE,
    LEARNING_RATE,
    BATCH_SIZE,
    LAUNCH,
    RESUME,
    SETUP_DB,
    PARALLEL,
    DATAFRAME,
    HISTORY,
    INTERMEDIATE,
    COORDINATES,
    CONTOUR,
    IMPORTANCES,
    IMPORTANCES_OF_DURATION,
]


# What a reader has before the first block

READER = """\
import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset

class RandomDataset(Dataset):
    # Digits of scikit-learn from `first` on: `size` of their 64 pixels, and whether they are even.
    def __init__(self, size, length, first=0):
        images, digits = load_digits(return_X_y=True)
        middle = slice((64 - size) // 2, (64 + size) // 2)
        some = slice(first, first + length)
        self.x = torch.tensor(images[some, middle] / 16, dtype=torch.float32)
        self.y = torch.tensor(digits[some] % 2 == 0).long()
    def __len__(self):
        return len(self.x)
    def __getitem__(self, index):
        return self.x[index], self.y[index]
"""

# What it logs are facts of the trial, wherever that runs: they are in the trial's history.
REST = """\
class Rest:
    def forward(self, x):
        return self.layers(x)
    def training_step(self, batch, batch_idx):
        x, y = batch
        optimizer = self.trainer.optimizers[0]
        facts = {"rows": len(x), "lr": optimizer.param_groups[0]["lr"]}
        facts["weights"] = sum(weights.numel() for weights in self.parameters())
        self.log_dict({name: float(fact) for name, fact in facts.items()}, on_step=False, on_epoch=True)
        return torch.nn.functional.cross_entropy(self(x), y)
    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_loss", torch.nn.functional.cross_entropy(self(x), y))
        self.log("val_acc", (self(x).argmax(1) == y).float().mean())
    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.03)
    def train_dataloader(self):
        return DataLoader(RandomDataset(32, 1024), batch_size=128, shuffle=True)
    def val_dataloader(self):
        return DataLoader(RandomDataset(32, 256, first=1024), batch_size=256)

for name, method in vars(Rest).items():
    if callable(method) and name not in vars(MyModel):
        setattr(MyModel, name, method)
"""

TRAINER = """\
from bigdl.nano.pytorch import Trainer
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
quiet |= {"enable_model_summary": False, "accelerator": "cpu", "max_epochs": 5}
trainer = Trainer(**quiet, use_hpo=True)
"""

# What stands for the gaps of a model with one argument that is searched.
LAYERS = """\
super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(32, width), torch.nn.Tanh(), torch.nn.Linear(width, 2)
        )
"""
ONE_LAYER = {
    "self, ...,": "self, width,",
    "        ...\n": f"        {LAYERS}",
    "MyModel(...,": "MyModel(width=16,",
}


def reader(model: str, fills: Names | None = None) -> Names:
    """Names as in a notebook after the block that defines a model; all that it needs is there."""
    names: Names = {"__name__": "__main__"}
    run(READER, names)
    run(model, names, fills)
    run(REST, names)
    run(TRAINER, names)
    return names


@pytest.fixture(autouse=True)
def _a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For ``example.db`` and the runs."""
    monkeypatch.chdir(tmp_path)


BY_ONE = (1, "sqlite")
BY_TWO = (2, "mariadb")
ALL = [BY_ONE, (2, "sqlite"), (1, "mariadb"), BY_TWO]


def new_database(kind: str, folder: Path, request: pytest.FixtureRequest) -> str:
    """The URL of an empty database."""
    if kind == "sqlite":
        return f"sqlite:///{folder / 'study.db'}"
    return str(request.getfixturevalue("mariadb").create_database())


@pytest.fixture(params=[None, BY_ONE, BY_TWO], ids=["in memory", "1-sqlite", "2-mariadb"])
def where(request: Any, tmp_path: Path) -> Names:
    """How a search runs: in this process, and by one and two processes of its own on a database."""
    if request.param is None:
        return {}
    n_parallels, kind = request.param
    return {"n_parallels": n_parallels, "storage": new_database(kind, tmp_path, request)}


def search(names: Names, **more: Any) -> Any:
    """The best model of a short search, and the study."""
    small = {"n_trials": 3, "max_epochs": 1, "draw": "none", "show_progress_bar": False}
    best_model = names["trainer"].search(names["model"], **small, **more)
    study = names["trainer"].search_summary()
    assert finished(study) == 3
    return best_model, study


def facts(trial: optuna.trial.FrozenTrial) -> dict[str, float]:
    """What the model has logged of itself in the last epoch of a trial."""
    return {name: values[-1] for name, values in trial.user_attrs["history"].items()}


def values(study: optuna.Study) -> list[float]:
    return [trial.value for trial in study.trials]


# The guide itself

DIGEST = "1415e484fa966c5006743500a6994a0d476f352bdfb595fb33587bcbfe086414"


def test_the_blocks_here_are_those_of_the_guide_word_for_word() -> None:
    """Where the guide itself is not at hand, its blocks are known by their digest."""
    assert digest(BLOCKS) == DIGEST
    if GUIDE.is_file():
        assert blocks_for("PyTorch", GUIDE.read_text()) == BLOCKS


# For PyTorch users


def test_the_architecture_is_searched_in_the_arguments_of_the_model(where: Names) -> None:
    best_model, study = search(names := reader(ARCHITECTURE), **where)
    searched = ("out_dim1", "out_dim2", "dropout_1")
    for trial in study.trials:
        assert trial.params.keys() == {choice(name) for name in searched}
        out_dim1, out_dim2, dropout_1 = (trial.params[choice(name)] for name in searched)
        assert {out_dim1, out_dim2} <= {16, 32}
        assert dropout_1 in (0.1, 0.2, 0.3, 0.4, 0.5)
        assert facts(trial)["weights"] == n_weights(out_dim1, out_dim2)
    best = {name: study.best_trial.params[choice(name)] for name in searched}
    assert type(best_model) is names["MyModel"]
    assert dict(best_model.hparams) == {**best, "dropout_2": 0.5}
    widths = [layer.out_features for layer in best_model.layers if hasattr(layer, "out_features")]
    assert widths == [best["out_dim1"], best["out_dim2"], 2]
    assert [layer.p for layer in best_model.layers if hasattr(layer, "p")] == [best["dropout_1"], 0.5]


def n_weights(out_dim1: int, out_dim2: int) -> int:
    """Of the guide's model: weights and biases of three layers."""
    return (32 + 1) * out_dim1 + (out_dim1 + 1) * out_dim2 + (out_dim2 + 1) * 2


def test_the_learning_rate_is_searched_in_its_logarithm_and_is_the_optimizers(where: Names) -> None:
    best_model, study = search(names := reader(LEARNING_RATE, ONE_LAYER), **where)
    for trial in study.trials:
        assert trial.distributions == {
            "learning_rate": optuna.distributions.FloatDistribution(0.001, 0.01, log=True)
        }
        assert facts(trial)["lr"] == pytest.approx(trial.params["learning_rate"], rel=1e-5)
    assert dict(best_model.hparams) == {"width": 16, **study.best_trial.params}
    names["trainer"].fit(best_model)
    [optimizer] = names["trainer"].optimizers
    assert optimizer.param_groups[0]["lr"] == best_model.hparams.learning_rate


def test_the_batch_size_of_a_trial_is_that_of_the_loader_that_it_trains_with(where: Names) -> None:
    best_model, study = search(names := reader(BATCH_SIZE, ONE_LAYER), **where)
    for trial in study.trials:
        size = trial.params[choice("batch_size")]
        assert trial.params == {choice("batch_size"): size}
        assert size in (32, 64)
        assert facts(trial)["rows"] == size
    best = study.best_trial.params[choice("batch_size")]
    assert dict(best_model.hparams) == {"width": 16, "batch_size": best}
    names["trainer"].fit(best_model)
    assert names["trainer"].train_dataloader.batch_size == best
    assert names["trainer"].num_training_batches == 64 // best


# A search, its review, and what is seen of it

SPACES = """\
import bigdl.nano.automl.hpo.space as space
spaces = {
    "out_dim1": space.Categorical(16, 32),
    "out_dim2": space.Int(8, 32),
    "dropout_1": space.Real(0.1, 0.5),
    "dropout_2": space.Real(0.1, 0.5),
}
"""
PARAMETERS = {"out_dim1", "out_dim2", "dropout_1", "dropout_2"}  # as people see them


@pytest.fixture(scope="module", params=ALL, ids=lambda one: f"{one[0]}-{one[1]}")
def launched(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Names:
    """The names after the block that searches, with six trials of two epochs, reviews and fits."""
    n_parallels, kind = request.param
    folder = tmp_path_factory.mktemp("launched")
    names = reader(ARCHITECTURE)
    names["more"] = {"n_parallels": n_parallels, "storage": new_database(kind, folder, request)}
    names["more"] |= {"run_dir": folder / "run", "draw": "none", "show_progress_bar": False}
    run(SPACES, names)
    gaps = {"MyModel(...)": "MyModel(**spaces)", "Trainer(...,": "Trainer(**quiet,"}
    gaps |= {"n_trials=100": "n_trials=6", "max_epochs=20": "max_epochs=2, **more"}
    run(LAUNCH, names, gaps)
    return names


def test_a_search_is_launched_and_reviewed_in_as_many_processes_as_asked(launched: Names) -> None:
    study, more = launched["study"], launched["more"]
    assert finished(study) == 6
    assert study.direction.name == "MINIMIZE"
    assert study.best_value == min(values(study))
    stored = optuna.load_study(study_name="mymodel", storage=more["storage"])
    assert [trial.params for trial in stored.trials] == [trial.params for trial in study.trials]
    assert len(list((more["run_dir"] / "logs").iterdir())) == more["n_parallels"]


def test_max_epochs_of_a_search_are_those_of_its_trials_and_not_of_the_fit_after_it(launched: Names) -> None:
    for trial in launched["study"].trials:
        assert trial.user_attrs["epochs"] == 2
        assert trial.value == pytest.approx(min(trial.user_attrs["history"]["val_loss"]))
    assert launched["trainer"].max_epochs == launched["trainer"].current_epoch == 5


def test_the_best_model_has_the_parameters_of_the_best_trial_and_learns(launched: Names) -> None:
    assert arguments(launched["study"].best_trial) == dict(launched["best_model"].hparams)
    assert launched["trainer"].callback_metrics["val_acc"] > 0.7


def test_a_model_can_be_had_of_each_trial(launched: Names) -> None:
    for trial in launched["study"].trials:
        model = launched["trainer"].end_search(use_trial_id=trial.number)
        assert dict(model.hparams) == arguments(trial)


def arguments(trial: optuna.trial.FrozenTrial) -> Names:
    """The parameters of a trial under the names that the model has."""
    return {name.removesuffix(choice("")): value for name, value in trial.params.items()}


def test_the_trials_are_a_table(launched: Names) -> None:
    run(DATAFRAME, launched)
    table = launched["trials_df"]
    params = {f"params_{name}" for name in launched["study"].best_trial.params}
    assert set(table.columns) == {"number", "value", "state", *params}
    assert list(table.number) == list(range(6))
    assert list(table.value) == values(launched["study"])
    assert set(table.state) == {"COMPLETE"}
    assert table[choice("params_out_dim1")].isin([16, 32]).all()
    assert table.params_out_dim2.between(8, 32).all()
    assert table.params_dropout_1.between(0.1, 0.5).all()


def test_the_history_is_plotted(launched: Names) -> None:
    dots, best, *_ = run(HISTORY, launched).data
    assert list(dots.x) == list(best.x) == list(range(6))
    assert list(dots.y) == values(launched["study"])
    assert best.y[-1] == launched["study"].best_value


def test_intermediate_values_are_plotted_by_epoch(launched: Names) -> None:
    figure = run(INTERMEDIATE, launched)
    reported = [trial.intermediate_values for trial in launched["study"].trials]
    assert sorted(list(line.y) for line in figure.data) == sorted(list(one.values()) for one in reported)
    assert {len(line.x) for line in figure.data} == {2}


def test_parallel_coordinates_are_plotted(launched: Names) -> None:
    figure = run(COORDINATES, launched)
    assert sum(trace.mode == "lines" for trace in figure.data) == 6
    assert set(figure.layout.xaxis.ticktext[1:]) == PARAMETERS


def test_contours_are_plotted(launched: Names) -> None:
    assert any(trace.type == "contour" for trace in run(CONTOUR, launched).data)


def test_importances_by_value_are_plotted(launched: Names) -> None:
    figure = run(IMPORTANCES, launched)
    assert set(figure.data[0].y) == PARAMETERS


def test_importances_by_duration_are_plotted(launched: Names) -> None:
    figure = run(IMPORTANCES_OF_DURATION, launched)
    assert "duration" in figure.layout.title.text
    assert set(figure.data[0].y) == PARAMETERS


# Resume, storage, processes


@pytest.mark.parametrize(("n_parallels", "kind"), [BY_ONE, BY_TWO])
def test_a_stored_search_is_resumed(n_parallels: int, kind: str, tmp_path: Path, request: Any) -> None:
    names = reader(ARCHITECTURE)
    names["arguments"] = {"model": names["model"], "n_trials": n_parallels, "n_parallels": n_parallels}
    names["arguments"] |= {"max_epochs": 1, "draw": "none", "show_progress_bar": False}
    url, gaps = "sqlite:///example.db", {"...": "**arguments"}
    if kind == "mariadb":
        url = new_database(kind, tmp_path, request)
        gaps['"sqlite:///example.db"'] = repr(url)
    best_model = run(RESUME, names, gaps)
    study = names["trainer"].search_summary()
    assert finished(study) == 2 * n_parallels
    stored = optuna.load_study(study_name="resume-example", storage=url)
    assert [trial.params for trial in stored.trials] == [trial.params for trial in study.trials]
    assert Path("example.db").is_file() == (kind == "sqlite")
    assert dict(best_model.hparams) == {**arguments(study.best_trial), "dropout_2": 0.5}


def test_a_search_goes_on_in_the_same_trainer_and_begins_anew_without_resume() -> None:
    names = reader(ARCHITECTURE)
    trainer, small = names["trainer"], {"n_trials": 1, "max_epochs": 1, "show_progress_bar": False}
    trainer.search(names["model"], **small)
    first = values(trainer.search_summary())
    trainer.search(names["model"], resume=True, **small)
    assert finished(trainer.search_summary()) == 2
    assert values(trainer.search_summary())[:1] == first
    trainer.search(names["model"], **small)
    assert finished(trainer.search_summary()) == 1


@pytest.mark.long
def test_eight_processes_search_on_the_database_that_the_guide_sets_up(mariadb: Any, tmp_path: Path) -> None:
    search_8 = filled(PARALLEL, {"...": "**arguments"})
    run_script([READER, ARCHITECTURE, REST, TRAINER, ARGUMENTS, search_8], tmp_path, mariadb)
    stored = optuna.load_study(study_name="parallel-example-torch", storage=mariadb.url("example"))
    assert finished(stored) == 8
    assert len(list(tmp_path.glob("nano-hpo-runs/*/run-001/logs/*"))) == 8


ARGUMENTS = """
arguments = {"model": model, "n_trials": 8, "max_epochs": 1, "draw": "none", "show_progress_bar": False}
"""
