"""Searches over Keras models in worker processes: bound, supervised, exact, and lean."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from optuna.trial import TrialState

import bigdl.nano.automl.hpo.space as space
from orchestrator import SpecError, StudyError
from tests.bigdl.keras_models import dense, digits, searched


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class InTheWorker(keras.callbacks.Callback):
    """Writes down where a trial was trained, and with what."""

    def __init__(self, trial):
        super().__init__()
        self.trial = trial

    def on_train_begin(self, logs=None):
        self.trial.set_user_attr("pid", os.getpid())
        self.trial.set_user_attr("cpus", sorted(os.sched_getaffinity(0)))
        self.trial.set_user_attr("threads", os.environ["TF_NUM_INTRAOP_THREADS"])
        self.trial.set_user_attr("keras", [keras.config.image_data_format(), keras.config.epsilon()])


def in_the_worker(trial):
    return [InTheWorker(trial)]


def test_two_workers_share_a_search(capfd):
    model = dense()
    study = searched(model, 6, n_parallels=2, callbacks=in_the_worker, draw="html", show_progress_bar=True)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 6
    drawn = {tuple(trial.params.values()) for trial in study.trials}
    assert len(drawn) == 6, "every trial has parameters of its own"
    seats = {(trial.user_attrs["pid"], *trial.user_attrs["cpus"]) for trial in study.trials}
    assert len(seats) == 2
    assert os.getpid() not in {pid for pid, *_ in seats}
    if len(os.sched_getaffinity(0)) >= 2:
        assert not set.intersection(*({*cpus} for _, *cpus in seats)), "each worker has cores of its own"
    assert all(trial.user_attrs["epochs"] == 2 for trial in study.trials)
    said = capfd.readouterr().err
    assert "No storage is named: the study goes into an SQLite file" in said
    assert "oneDNN" not in said, "what TensorFlow says at its start stays in the worker's log"
    run = Path("nano-hpo-runs/sequential/run-001")
    assert (run / "report.html").exists()
    assert "accuracy" in (run / "logs" / "rank0-slot0.log").read_text()
    assert not (run / "arrays").exists()
    x, y = digits(50)
    model.fit(x, y, verbose=0)
    assert model.layers[0].units == study.best_params["units"]


class DiesOnce(keras.callbacks.Callback):
    """Kills its process in the first epoch of trial 1, the first time."""

    def __init__(self, trial, marker):
        super().__init__()
        self.number, self.marker = trial.number, marker

    def on_epoch_end(self, epoch, logs=None):
        if self.number == 1 and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_costs_no_trial_and_a_resumed_search_adds_exactly_its_own(tmp_path):
    marker = tmp_path / "died"
    storage = f"sqlite:///{tmp_path}/study.db"
    given = {
        "n_parallels": 2,
        "storage": storage,
        "study_name": "killed",
        "callbacks": lambda t: [DiesOnce(t, marker)],
    }
    study = searched(dense(), 5, **given)
    assert marker.exists()
    assert [trial.number for trial in study.trials] == [0, 1, 2, 3, 4]
    assert all(trial.state is TrialState.COMPLETE for trial in study.trials)
    again = searched(dense(), 3, resume=True, **given)
    assert len(again.trials) == 8
    assert all(trial.state is TrialState.COMPLETE for trial in again.trials)
    assert len({tuple(trial.params.values()) for trial in again.trials}) == 8


def test_a_study_that_is_not_there_cannot_be_resumed(tmp_path):
    with pytest.raises(StudyError, match=r"no study 'gone'.*resume"):
        searched(dense(), 1, storage=f"sqlite:///{tmp_path}/s.db", study_name="gone", resume=True)


def test_the_best_weights_are_kept_beside_the_run():
    model = dense()
    study = searched(model, 4, n_parallels=2, keep_best=True)
    kept = list(Path("nano-hpo-runs/sequential/run-001/weights").iterdir())
    assert [path.name for path in kept] == [f"trial-{study.best_trial.number:05d}.npz"]
    x, y = digits(300)
    assert model.evaluate(x[240:], y[240:], verbose=0)[1] == pytest.approx(study.best_value, abs=1e-6)


class Scripted(keras.callbacks.Callback):
    """Makes later trials worse, whatever they learn."""

    def __init__(self, trial):
        super().__init__()
        self.loss = 1.0 if trial.number < 2 else 9.0

    def on_epoch_end(self, epoch, logs=None):
        logs["val_loss"] = self.loss - 0.1 * epoch


def test_trials_are_pruned_by_what_other_workers_reported():
    study = searched(
        dense(),
        6,
        n_parallels=2,
        epochs=4,
        target_metric="loss",
        pruner="median",
        pruner_kwargs={"n_startup_trials": 2},
        callbacks=lambda trial: [Scripted(trial)],
    )
    states = {trial.number: trial.state for trial in study.trials}
    assert states[0] is states[1] is TrialState.COMPLETE
    assert TrialState.PRUNED in states.values()
    pruned = [trial for trial in study.trials if trial.state is TrialState.PRUNED]
    assert all(trial.number >= 2 and trial.user_attrs["epochs"] < 4 for trial in pruned)


class Memory(keras.callbacks.Callback):
    """Writes down how much memory is the process's own, and how much it shares."""

    def __init__(self, trial):
        super().__init__()
        self.trial = trial
        self.before = self.own()  # Keras takes the data in before the training begins

    def on_epoch_end(self, epoch, logs=None):
        self.trial.set_user_attr("grown_mib", self.own() - self.before)

    def own(self):
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) / 1024


def test_big_arrays_are_mapped_by_the_workers_and_not_copied():
    x = np.random.default_rng(0).random((2**19, 64), dtype="float32")  # 128 MiB
    y = np.zeros(len(x), dtype="int64")
    given = {"x": x, "y": y, "epochs": 1, "batch_size": 8192}
    study = searched(dense(), 2, n_parallels=2, callbacks=lambda trial: [Memory(trial)], **given)
    assert all(trial.user_attrs["grown_mib"] < 64 for trial in study.trials)


def test_a_dataset_reaches_the_workers_through_a_function():
    x, y = digits(100)

    def make():
        return tf.data.Dataset.from_tensor_slices((x, y)).batch(20)

    given = {"y": None, "validation_split": None, "batch_size": None}
    study = searched(dense(), 2, n_parallels=2, x=make, **given)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 2
    with pytest.raises(ValueError, match=r"x is a tf\.data\.Dataset, which cannot go to other processes"):
        searched(dense(), 2, n_parallels=2, x=make(), **given)


def test_more_workers_than_cores_get_one_thread_each_and_a_warning(capfd):
    n = len(os.sched_getaffinity(0)) + 1
    study = searched(dense(), n, n_parallels=n, callbacks=in_the_worker, show_progress_bar=True)
    assert {trial.user_attrs["threads"] for trial in study.trials} == {"1"}
    assert capfd.readouterr().err.count("Warning:") == 1


def test_workers_have_the_callers_settings_of_keras():
    keras.config.set_image_data_format("channels_first")
    keras.config.set_epsilon(1e-5)
    try:
        study = searched(dense(), 1, storage="sqlite:///s.db", callbacks=in_the_worker)
    finally:
        keras.config.set_image_data_format("channels_last")
        keras.config.set_epsilon(1e-7)
    assert study.trials[0].user_attrs["keras"] == ["channels_first", 1e-5]


def test_a_width_that_is_none_is_refused():
    with pytest.raises(SpecError, match="n_parallels is 0"):
        searched(dense(), 1, n_parallels=0)


THREADS = """
import os
import keras, numpy as np
model = keras.Sequential([keras.Input(shape=(256,)), keras.layers.Dense(256)])
model.compile(loss="mse")
x = np.ones((4096, 256), dtype="float32")
model.fit(x, x, batch_size=2048, verbose=0)
print(len(os.listdir("/proc/self/task")))
"""


def test_tensorflows_pools_have_as_many_threads_as_the_slot():
    """The bind shim sets them by the environment, before TensorFlow exists."""

    def threads(n):
        shim = [sys.executable, "-m", "affinity", "bind", "--pus", "0", "--threads", str(n), "--"]
        done = subprocess.run(
            [*shim, sys.executable, "-c", THREADS], capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    assert threads(8) - threads(2) >= 6


def test_searching_an_invalid_choice_fails_its_trial_alone():
    with pytest.warns(UserWarning, match="cannot be evaluated"):
        study = searched(dense(units=space.Categorical(-1, 8)), 6, n_parallels=2, seed=1)
    states = {trial.params["units\u2581choice"]: trial.state.name for trial in study.trials}
    assert states == {-1: "FAIL", 8: "COMPLETE"}


def test_a_new_program_finds_the_weights_that_an_earlier_one_has_kept(tmp_path):
    given = {"storage": f"sqlite:///{tmp_path}/s.db", "study_name": "kept", "keep_best": True}
    first = searched(dense(learning_rate=space.Categorical(0.02)), 1, **given)
    model = dense(learning_rate=space.Categorical(0.02), units=space.Int(1, 1))
    study = searched(model, 1, resume=True, **given)
    assert study.best_trial.number == 0
    assert study.best_value == first.best_value
    x, y = digits(300)
    model = dense(learning_rate=space.Categorical(0.02))
    searched(model, 1, resume=True, epochs=1, batch_size=300, **given)
    assert model.evaluate(x[240:], y[240:], verbose=0)[1] == pytest.approx(study.best_value, abs=1e-6)


def test_choices_that_were_changed_since_are_named(tmp_path):
    given = {"storage": f"sqlite:///{tmp_path}/s.db", "study_name": "changed"}
    searched(dense(learning_rate=space.Categorical(0.02)), 1, **given)
    with pytest.warns(UserWarning, match=r"'learning_rate' had other choices than Categorical\(0.02, 0.1\)"):
        searched(dense(learning_rate=space.Categorical(0.02, 0.1)), 1, resume=True, **given)
