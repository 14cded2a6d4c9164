"""The user guide of BigDL-Nano's AutoML: its code blocks for TensorFlow users run, word for word.

A block runs as it is written but for its ``...``, which a test fills, and for numbers that would take hours.
What the guide takes for granted (``tf``, ``keras``, ``space``, data) stands in :func:`begun`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from sklearn.datasets import load_digits

from bigdl.nano.automl import hpo_config
from bigdl.nano.automl.hpo.backend import PrunerType, SamplerType
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

pytestmark = pytest.mark.skipif(find_spec("tensorflow") is None, reason="TensorFlow: not installed")

# The guide's blocks in their order.

ENABLE = """\
import bigdl.nano.automl as nano_automl
nano_automl.hpo_config.enable_hpo_tf()
"""

DISABLE = """\
import bigdl.nano.automl as nano_automl
nano_automl.hpo_config.disable_hpo_tf()
"""

SEQUENTIAL = """\
from bigdl.nano.tf.keras.layers import Dense, Conv2D, Flatten
from bigdl.nano.automl.tf.keras import Sequential
model = Sequential()
model.add(Conv2D(
    filters=space.Categorical(32, 64),
    kernel_size=space.Categorical(3, 5),
    strides=space.Categorical(1, 2),
    activation=space.Categorical("relu", "linear"),
    input_shape=input_shape))
model.add(Flatten())
model.add(Dense(10, activation="softmax"))
"""

FUNCTIONAL = """\
import bigdl.nano.automl.hpo.space as space
from bigdl.nano.tf.keras import Input
from bigdl.nano.tf.keras.layers import Dense, Dropout
from bigdl.nano.automl.tf.keras import Model

inputs = Input(shape=(784,))
x = Dense(units=space.Categorical(8,16,prefix='dense_1'), activation="linear")(inputs)
x = Dense(units=space.Categorical(32,64,prefix='dense_2'), activation="tanh")(x)
x = Dropout(rate=space.Real(0.1,0.5, prefix='dropout'))(x)
outputs = Dense(units=10)(x)
model = Model(inputs=inputs, outputs=outputs, name="mnist_model")
"""

SUBCLASS = """\
import bigdl.nano.automl.hpo.space as space
import bigdl.nano.automl.hpo as hpo
@hpo.tfmodel()
class MyModel(tf.keras.Model):
    def __init__(self, filters, kernel_size, strides, num_classes=10):
        super().__init__()
        self.conv1 = tf.keras.layers.Conv2D(filters=filters,
                            kernel_size=kernel_size,
                            strides=strides,
                            activation="relu")
        self.max1  = tf.keras.layers.MaxPooling2D(3)
        self.bn1   = tf.keras.layers.BatchNormalization()

        self.gap   = tf.keras.layers.GlobalAveragePooling2D()
        self.dense = tf.keras.layers.Dense(num_classes)

    def call(self, inputs, training=False):
        x = self.conv1(inputs)
        x = self.max1(x)
        x = self.bn1(x)
        x = self.gap(x)
        return self.dense(x)

model = MyModel(
    filters=hpo.space.Categorical(32, 64),
    kernel_size=hpo.space.Categorical(3, 5),
    strides=hpo.space.Categorical(1, 2)
)
"""

LEARNING_RATE = """\
import bigdl.nano.automl.hpo.space as space
from bigdl.nano.tf.optimizers import RMSprop
model.compile(
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    optimizer=RMSprop(learning_rate=space.Real(0.0001, 0.01, log=True)),
    metrics=["accuracy"],
)
"""

BATCH_SIZE = """\
import bigdl.nano.automl.hpo.space as space
model.search(n_trials=2, target_metric='accuracy', direction="maximize",
    x=x_train, y=y_train,validation_data=(x_valid, y_valid),
    batch_size=space.Categorical(128,64))
"""

LAUNCH = """\
model = ... # define the model
model.compile(...)
model.search(n_trials=100, target_metric='accuracy', direction="maximize",
    x=x_train, y=y_train, batch_size=32, epochs=20, validation_split=0.2)
study = model.search_summary()
model.fit(...)
"""

RESUME = """\
name = "resume-example"
storage = "sqlite:///example.db"
#the first search from scratch
model.search(study_name=name, storage=storage,...)
# the resumed search
model.search(study_name=name, storage=storage, resume=True,...)
"""

PARALLEL = """\
name = "parallel-example-tf"
storage = "mysql://bigdlhpo@localhost/example"
# the first search from scratch
model.search(study_name=name,
           storage=storage,
           n_parallels=8,
           ...)
"""

DATAFRAME = """\
...
study = model.search_summary()
trials_df = study.trials_dataframe(attrs=("number", "value", "params", "state"))
"""

HISTORY = """\
...
study = model.search_summary()

from bigdl.nano.automl.hpo.visualization import plot_optimization_history
plot1=plot_optimization_history(study)
"""

INTERMEDIATE = """\
...
study = model.search_summary()

from bigdl.nano.automl.hpo.visualization import plot_intermediate_values
plot_intermediate_values(study)
"""

COORDINATES = """\
...
study = model.search_summary()

from bigdl.nano.automl.hpo.visualization import plot_parallel_coordinate
plot_parallel_coordinate(study)
"""

CONTOUR = """\
...
study = model.search_summary()

from bigdl.nano.automl.hpo.visualization import plot_contour
plot_contour(study)
"""

IMPORTANCES = """\
...
study = model.search_summary()

from bigdl.nano.automl.hpo.visualization import plot_param_importances
plot_param_importances(study)
"""

IMPORTANCES_OF_DURATION = """\
...
study = model.search_summary()

from bigdl.nano.automl.hpo.visualization import plot_param_importances
plot_param_importances(study, target=lambda t: t.duration.total_seconds(), target_name="duration")
"""

BLOCKS = [
    ENABLE,
    DISABLE,
    SEQUENTIAL,
    FUNCTIONAL,
    SUBCLASS,
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


def begun(**data: Any) -> Names:
    """Names as in a fresh notebook: Keras, spaces and data are at hand, searchable objects are enabled."""
    import keras
    import tensorflow as tf

    from bigdl.nano.automl.hpo import space

    names = {"__name__": "__main__", "tf": tf, "keras": keras, "space": space, **data}
    run(ENABLE, names)
    return names


@pytest.fixture(autouse=True)
def _a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For ``example.db`` and the runs; searchable objects are there only for a test that enables them."""
    monkeypatch.chdir(tmp_path)
    yield
    hpo_config.disable_hpo_tf()


@cache
def digits() -> tuple[Any, Any]:
    """The 1,797 digits of scikit-learn, 8 × 8 grey levels between 0 and 1, and what they are."""
    data = load_digits()
    return (data.images / 16).astype("float32"), data.target


def like_mnist() -> Any:
    """The same digits, 28 × 28."""
    large = np.kron(digits()[0], np.ones((1, 3, 3), "float32"))
    return np.pad(large, ((0, 0), (2, 2), (2, 2)))


def split(x: Any, n: int = 256, n_valid: int = 64) -> Names:
    """Some for training and some for validation, under the names of the guide."""
    y = digits()[1]
    valid = slice(n, n + n_valid)
    return {"x_train": x[:n], "y_train": y[:n], "x_valid": x[valid], "y_valid": y[valid]}


def functional(**data: Any) -> Names:
    """The functional model of the guide with its optimizer, ready to be searched."""
    names = begun(**(data or split(like_mnist().reshape(-1, 784))))
    run(FUNCTIONAL, names)
    run(LEARNING_RATE, names)
    return names


def search(names: Names, **more: Any) -> optuna.Study:
    """The block that searches the batch size, two trials of one epoch."""
    names["more"] = {"epochs": 1, "verbose": 0, **more}
    end = "batch_size=space.Categorical(128,64)"
    run(BATCH_SIZE, names, {end: f"{end}, **more"})
    return names["model"].search_summary()


HERE: Names = {"n_parallels": 1}
TWO: Names = {"n_parallels": 2, "draw": "none"}
here_and_by_two = pytest.mark.parametrize("processes", [HERE, TWO], ids=["here", "by two processes"])


# The guide itself

DIGEST = "10d570862d8972cf393d4b18d1793f88f32b86f4cad1c41d6cd4f997b805d673"


def test_the_blocks_here_are_those_of_the_guide_word_for_word() -> None:
    """Where the guide itself is not at hand, its blocks are known by their digest."""
    assert digest(BLOCKS) == DIGEST
    if GUIDE.is_file():
        assert blocks_for("Tensorflow", GUIDE.read_text()) == BLOCKS


# For TensorFlow users


def test_enabling_makes_searchable_layers_importable_and_disabling_takes_them_back() -> None:
    names: Names = {}
    for _ in range(2):
        run(ENABLE, names)
        exec("from bigdl.nano.tf.keras.layers import Dense", names)
        run(DISABLE, names)
        with pytest.raises(ImportError, match="enable_hpo_tf"):
            exec("from bigdl.nano.tf.keras.layers import Dense", names)


@here_and_by_two
def test_a_sequential_model_is_searched_and_becomes_what_was_best(processes: Names) -> None:
    names = begun(**split(digits()[0][..., np.newaxis]), input_shape=(8, 8, 1))
    run(SEQUENTIAL, names)
    model = names["model"]
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    study = search(names, **processes)
    assert finished(study) == 2
    best = study.best_trial.params
    assert set(best) == {choice(name) for name in (*CONVOLUTION, "activation", "batch_size")}
    model.fit(names["x_train"], names["y_train"], verbose=0)
    layer = model.layers[0]
    assert layer.filters == best[choice("filters")] in (32, 64)
    assert layer.kernel_size[0] == best[choice("kernel_size")] in (3, 5)
    assert layer.strides[0] == best[choice("strides")] in (1, 2)
    assert layer.activation.__name__ == best[choice("activation")] in ("relu", "linear")


def test_a_functional_model_has_a_parameter_of_its_own_for_each_prefix() -> None:
    names = functional()
    model = names["model"]
    study = search(names)
    assert finished(study) == 2
    best = study.best_trial.params
    units = [best.pop(choice(f"dense_{i}:units")) for i in (1, 2)]
    assert set(best) == {"dropout:rate", "learning_rate", choice("batch_size")}
    model.fit(names["x_train"], names["y_train"], verbose=0)
    assert model.name == "mnist_model"
    assert [layer.units for layer in model.layers if hasattr(layer, "units")] == [*units, 10]
    assert units[0] in (8, 16)
    assert units[1] in (32, 64)
    assert 0.1 <= best["dropout:rate"] <= 0.5
    assert next(layer.rate for layer in model.layers if hasattr(layer, "rate")) == best["dropout:rate"]


@here_and_by_two
def test_a_subclass_takes_spaces_for_its_arguments(processes: Names) -> None:
    names = begun(**split(like_mnist()[..., np.newaxis], 128))
    run(SUBCLASS, names)
    run(LEARNING_RATE, names)
    study = search(names, **processes)
    assert finished(study) == 2
    best = study.best_trial.params
    assert set(best) == {choice(name) for name in (*CONVOLUTION, "batch_size")} | {"learning_rate"}
    model = names["model"]
    model.fit(names["x_train"], names["y_train"], verbose=0)
    assert model.conv1.filters == best[choice("filters")]
    assert model.predict(names["x_valid"], verbose=0).shape == (64, 10)


def test_the_learning_rate_is_searched_in_its_logarithm_and_is_the_optimizers() -> None:
    names = functional()
    study = search(names)
    assert study.best_trial.distributions["learning_rate"] == optuna.distributions.FloatDistribution(
        0.0001, 0.01, log=True
    )
    model = names["model"]
    model.fit(names["x_train"], names["y_train"], verbose=0)
    assert type(model.optimizer).__name__ == "RMSprop"
    assert float(model.optimizer.learning_rate) == pytest.approx(study.best_trial.params["learning_rate"])


def test_the_batch_size_of_a_trial_is_that_of_its_training_and_of_the_fit_after_it() -> None:
    import keras

    steps: list[int] = []

    class Steps(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            steps.append(self.params["steps"])

    names = functional()
    study = search(names, callbacks=[Steps()])
    sizes = [trial.params[choice("batch_size")] for trial in study.trials]
    assert set(sizes) <= {128, 64}
    names["model"].fit(names["x_train"], names["y_train"], verbose=0, callbacks=[Steps()])
    best = study.best_trial.params[choice("batch_size")]
    assert steps == [len(names["x_train"]) // size for size in (*sizes, best)]


def test_a_search_is_launched_and_reviewed_and_the_best_model_trained() -> None:
    def define() -> Any:
        run(SEQUENTIAL, names)
        return names["model"]

    names = begun(**split(digits()[0][..., np.newaxis], 1500, 297), input_shape=(8, 8, 1), define=define)
    names["compiled"] = {"optimizer": "adam", "loss": "sparse_categorical_crossentropy"}
    names["compiled"]["metrics"] = ["accuracy"]
    gaps = {"= ... #": "= define() #", "compile(...)": "compile(**compiled)", "n_trials=100": "n_trials=2"}
    gaps |= {"epochs=20": "epochs=1, verbose=0"}
    gaps |= {"fit(...)": "fit(x_train, y_train, epochs=5, verbose=0)"}
    run(LAUNCH, names, gaps)
    assert finished(names["study"]) == 2
    assert names["model"].evaluate(names["x_valid"], names["y_valid"], verbose=0)[1] > 0.4  # a guess: 0.1


# Resume, storage, processes


@pytest.mark.parametrize(
    ("database", "n_parallels"),
    [("sqlite", 1), pytest.param("mariadb", 1, marks=pytest.mark.long), ("mariadb", 2)],
)
def test_a_stored_search_is_resumed(database: str, n_parallels: int, request: Any) -> None:
    names = functional()
    names["arguments"] = fit_arguments(names, n_parallels) | {"n_parallels": n_parallels, "draw": "none"}
    url, gaps = "sqlite:///example.db", {"...": "**arguments"}
    if database == "mariadb":
        url = request.getfixturevalue("mariadb").create_database()
        gaps['"sqlite:///example.db"'] = repr(url)
    run(RESUME, names, gaps)
    assert finished(names["model"].search_summary()) == 2 * n_parallels
    stored = optuna.load_study(study_name="resume-example", storage=url)
    assert [trial.params for trial in stored.trials] == [
        trial.params for trial in names["model"].search_summary().trials
    ]
    assert Path("example.db").is_file() == (database == "sqlite")


def test_a_search_goes_on_in_the_same_object_and_begins_anew_without_resume() -> None:
    names = functional()
    model, arguments = names["model"], fit_arguments(names, 1)
    model.search(**arguments)
    first = [trial.params for trial in model.search_summary().trials]
    model.search(resume=True, **arguments)
    both = [trial.params for trial in model.search_summary().trials]
    assert finished(model.search_summary()) == 2
    assert both[:1] == first
    model.search(**arguments)
    assert finished(model.search_summary()) == 1


def test_eight_processes_search_on_the_database_that_the_guide_sets_up(mariadb: Any, tmp_path: Path) -> None:
    search_8 = filled(PARALLEL, {"...": "**arguments"})
    run_script([PREAMBLE, FUNCTIONAL, LEARNING_RATE, ARGUMENTS, search_8], tmp_path, mariadb)
    stored = optuna.load_study(study_name="parallel-example-tf", storage=mariadb.url("example"))
    assert finished(stored) == 8
    assert len(list(tmp_path.glob("nano-hpo-runs/*/run-001/logs/*"))) == 8


PREAMBLE = f"""
import keras
{ENABLE}
"""

ARGUMENTS = """
from sklearn.datasets import load_digits
import numpy as np

images, y = load_digits(return_X_y=True)
x = np.pad(images / 16, ((0, 0), (0, 784 - 64)))
arguments = {"n_trials": 8, "x": x, "y": y, "validation_split": 0.2, "epochs": 1, "draw": "none"}
"""


# Analysis and visualization


PARAMETERS = {"dense_1:units", "dense_2:units", "dropout:rate", "learning_rate"}  # as people see them


@pytest.fixture(scope="module", params=[HERE, TWO], ids=["here", "by two processes"])
def searched(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Names:
    """The functional model after a search of six trials."""
    names = functional()
    more = {"run_dir": tmp_path_factory.mktemp("searched") / "run"} if request.param is TWO else {}
    arguments = fit_arguments(names, 6) | {"epochs": 2}
    names["model"].search(**arguments, **request.param, **more)
    return names


def test_the_trials_are_a_table(searched: Names) -> None:
    run(DATAFRAME, searched)
    table = searched["trials_df"]
    assert list(table.number) == list(range(6))
    assert set(table.state) == {"COMPLETE"}
    assert table.value.between(0, 1).all()
    assert {choice("params_dense_1:units"), "params_dropout:rate", "params_learning_rate"} < set(
        table.columns
    )


def test_the_history_is_plotted(searched: Names) -> None:
    run(HISTORY, searched)
    assert list(searched["plot1"].data[0].x) == list(range(6))


def test_intermediate_values_are_plotted_by_epoch(searched: Names) -> None:
    figure = run(INTERMEDIATE, searched)
    assert [len(line.x) for line in figure.data] == [2] * 6


def test_parallel_coordinates_are_plotted(searched: Names) -> None:
    figure = run(COORDINATES, searched)
    assert sum(trace.mode == "lines" for trace in figure.data) == 6
    assert set(figure.layout.xaxis.ticktext[1:]) == PARAMETERS


def test_contours_are_plotted(searched: Names) -> None:
    assert any(trace.type == "contour" for trace in run(CONTOUR, searched).data)


def test_importances_by_accuracy_are_plotted(searched: Names) -> None:
    figure = run(IMPORTANCES, searched)
    assert set(figure.data[0].y) == PARAMETERS


def test_importances_by_duration_are_plotted(searched: Names) -> None:
    figure = run(IMPORTANCES_OF_DURATION, searched)
    assert "duration" in figure.to_json()
    assert set(figure.data[0].y) == PARAMETERS


# Old names


@pytest.mark.parametrize(
    ("sampler", "of_sampler", "pruner", "of_pruner"),
    [
        (SamplerType.TPE, {"n_startup_trials": 1}, PrunerType.Median, {"n_startup_trials": 1}),
        (SamplerType.Random, {}, PrunerType.Nop, {}),
        (SamplerType.CmaEs, {}, PrunerType.Patient, {"wrapped_pruner": "median", "patience": 1}),
        (SamplerType.Grid, {"search_space": {"units": [8, 16]}}, PrunerType.Threshold, {"lower": 0.0}),
        (
            SamplerType.PartialFixed,
            {"fixed_params": {"units": 8}},
            PrunerType.Percentile,
            {"percentile": 50.0},
        ),
        (SamplerType.NSGAII, {"population_size": 2}, PrunerType.SuccessiveHalving, {"min_resource": 1}),
        (SamplerType.MOTPE, {}, PrunerType.HyperBand, {"min_resource": 1, "max_resource": 9}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_samplers_and_pruners_have_their_old_names(
    sampler: SamplerType, of_sampler: Names, pruner: PrunerType, of_pruner: Names
) -> None:
    model, x, y = one_layer()
    tools = {"sampler": sampler, "sampler_kwargs": of_sampler, "pruner": pruner, "pruner_kwargs": of_pruner}
    model.search(n_trials=2, x=x, y=y, verbose=0, **tools)
    units = sorted(trial.params["units"] for trial in model.search_summary().trials)
    assert len(units) == 2
    if sampler is SamplerType.Grid:
        assert units == [8, 16]
    if sampler is SamplerType.PartialFixed:
        assert units == [8, 8]


def test_an_old_call_prunes_in_two_processes() -> None:
    model, x, y = one_layer()
    model.search(
        n_trials=3,
        target_metric="accuracy",
        direction="maximize",
        sampler=SamplerType.TPE,
        pruner=PrunerType.Threshold,
        pruner_kwargs={"lower": 1.1},  # no accuracy is that high
        x=x,
        y=y,
        epochs=2,
        **TWO,
    )
    trials = model.search_summary().trials
    assert [trial.state.name for trial in trials] == ["PRUNED"] * 3
    assert [trial.user_attrs["epochs"] for trial in trials] == [1] * 3


def one_layer() -> tuple[Any, Any, Any]:
    """A small model with one space, compiled, and data."""
    names = begun()
    exec("from bigdl.nano.tf.keras.layers import Dense, Flatten", names)
    exec("from bigdl.nano.automl.tf.keras import Sequential", names)
    exec("model = Sequential([Flatten(), Dense(units=space.Int(8, 16)), Dense(10, 'softmax')])", names)
    model = names["model"]
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model, digits()[0][:128], digits()[1][:128]


# What several tests ask


CONVOLUTION = ("filters", "kernel_size", "strides")


def fit_arguments(names: Names, n_trials: int) -> Names:
    """Arguments of a small search."""
    data = {"x": names["x_train"], "y": names["y_train"]}
    data["validation_data"] = (names["x_valid"], names["y_valid"])
    return {"n_trials": n_trials, "target_metric": "accuracy", "epochs": 1, "verbose": 0, **data}
