"""Searches by two processes as users have them: a script with a module beside it, and a notebook."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import optuna
import pytest

pytestmark = pytest.mark.skipif(find_spec("tensorflow") is None, reason="TensorFlow: not installed")

MODULE = """
import keras

import bigdl.nano.automl.hpo as hpo


@hpo.tfmodel()
class Network(keras.Model):
    def __init__(self, first, units):
        super().__init__()
        self.row = [first, keras.layers.Dense(units, activation="relu"), keras.layers.Dense(10)]

    def call(self, x):
        for part in self.row:
            x = part(x)
        return x
"""

# A class, a callback, a function and data of its own, and no `if __name__ == "__main__"`.
SCRIPT = """
import os
from pathlib import Path

import bigdl.nano.automl as nano_automl

nano_automl.hpo_config.enable_hpo_tf()

import keras
from my_models import Network
from sklearn.datasets import load_digits

import bigdl.nano.automl.hpo.space as space
from bigdl.nano.tf.optimizers import Adam

HERE = Path.cwd()
with (HERE / "scripts").open("a") as file:
    print(os.getpid(), file=file)


class Centre(keras.layers.Layer):
    def call(self, x):
        return x - keras.ops.mean(x, axis=-1, keepdims=True)


class Tell(keras.callbacks.Callback):
    def on_train_end(self, logs=None):
        with (HERE / "trainings").open("a") as file:
            print(os.getpid(), describe(logs), file=file)


def describe(logs):
    return ",".join(sorted(logs))


images, digits = load_digits(return_X_y=True)
images = images / 16
model = Network(first=Centre(), units=space.Int(8, 64))
model.compile(
    optimizer=Adam(learning_rate=space.Real(1e-3, 1e-1, log=True)),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
model.search(
    n_trials=4,
    n_parallels=2,
    target_metric="accuracy",
    direction="maximize",
    x=images,
    y=digits,
    validation_split=0.2,
    epochs=1,
    callbacks=[Tell()],
    draw="none",
)
study = model.search_summary()
print("trials:", [trial.state.name for trial in study.trials])
model.fit(images, digits, epochs=5, verbose=0)
print("units:", model.row[1].units == study.best_params["units"])
print("accuracy:", model.evaluate(images, digits, verbose=0)[1])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder, with spaces in its name and a module in it."""
    folder = tmp_path / "my new searches"
    folder.mkdir()
    (folder / "my_models.py").write_text(MODULE)
    return folder


def test_what_a_script_and_the_module_beside_it_define_reaches_the_processes(folder: Path) -> None:
    (folder / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = dict(line.split(": ") for line in done.stdout.splitlines())
    assert said["trials"] == str(["COMPLETE"] * 4)
    assert said["units"] == "True"
    assert float(said["accuracy"]) > 0.6
    scripts = (folder / "scripts").read_text().split()
    assert len(scripts) == 1, "a worker has run the script"
    trainings = [line.split() for line in (folder / "trainings").read_text().splitlines()]
    assert [logs for _, logs in trainings] == ["accuracy,loss,val_accuracy,val_loss"] * 4
    assert scripts[0] not in {process for process, _ in trainings}


CELLS = [
    "import bigdl.nano.automl as nano_automl\nnano_automl.hpo_config.enable_hpo_tf()",
    "import keras\nfrom sklearn.datasets import load_digits\nimport bigdl.nano.automl.hpo as hpo\n"
    "images, digits = load_digits(return_X_y=True)",
    MODULE,
    "class Centre(keras.layers.Layer):\n    def call(self, x):\n        return x / 16 - 0.3",
    "model = Network(first=Centre(), units=hpo.space.Int(8, 64))\n"
    "loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)\n"
    "model.compile('adam', loss, metrics=['accuracy'])",
    "arguments = dict(x=images, y=digits, epochs=1, validation_split=0.2, draw='none')",
    "model.search(n_trials=2, n_parallels=2, **arguments)",
    "model.search(n_trials=2, n_parallels=2, resume=True, **arguments)",
    "model.fit(images, digits, epochs=5, verbose=0)\n"
    "assert model.evaluate(images, digits, verbose=0)[1] > 0.6",
]


def test_what_a_notebook_defines_reaches_the_processes_and_its_search_goes_on(
    run_cell: Callable[[str], None], folder: Path
) -> None:
    for cell in CELLS:
        run_cell(cell)
    (file,) = folder.glob("nano-hpo-runs/network/run-001/study.db")
    study = optuna.load_study(study_name="network", storage=f"sqlite:///{file}")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 4
