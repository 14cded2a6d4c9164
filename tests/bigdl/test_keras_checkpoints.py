"""Keras trials that are cut off and go on at their last epoch."""

from __future__ import annotations

import copy
import os
import random
import re
import signal
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import keras
import numpy as np
import optuna
import pytest
import tensorflow as tf
from optuna.trial import TrialState

import bigdl.nano.automl.hpo as hpo
from bigdl.nano.automl import hpo_config
from bigdl.nano.automl.search.checkpoints import remove_leftovers
from bigdl.nano.automl.search.weights import file_name
from orchestrator import last_checkpoint, trial_dir
from orchestrator.trial_folder import CHECKPOINT, FOLDER
from tests.bigdl.keras_models import dense, digits, searched

EPOCHS = 6


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hpo_config.enable_hpo_tf()


# In worker processes that are killed


class Diary(keras.callbacks.Callback):
    """Writes a line for each epoch that begins, and one when an epoch is trained."""

    def __init__(self, trial, folder):
        super().__init__()
        self.path = folder / f"diary-{trial.number}"
        self.path.touch()
        self.is_first_attempt = not self.path.read_text()

    def on_epoch_begin(self, epoch, logs=None):
        self.write("begin", epoch)

    def on_train_batch_end(self, batch, logs=None):
        self.last_batch = batch

    def on_epoch_end(self, epoch, logs=None):
        self.write("end", epoch, int(self.model.optimizer.iterations))

    def write(self, *words):
        with self.path.open("a") as file:
            print(*words, file=file)


class Fate(Diary):
    """By its number a trial is killed in the fourth epoch, between file and mark, damaged, or has no room."""

    def __init__(self, trial, folder):
        super().__init__(trial, folder)
        self.trial = trial
        import bigdl.nano.automl.search.checkpoints as shared
        import bigdl.nano.automl.tf.checkpoints as ours

        if self.is_first_attempt and trial.number == 1:
            shared.mark_checkpoint = self.dies_before_mark
        if trial.number == 3:
            ours._dump, self.dump = self.has_no_room, ours._dump

    def on_train_batch_end(self, batch, logs=None):
        if self.is_first_attempt and self.trial.number in (0, 2) and "begin 3" in self.path.read_text():
            if self.trial.number == 2:
                path = trial_dir(self.trial) / "checkpoint"
                damaged = bytearray(path.read_bytes())
                damaged[len(damaged) // 2] ^= 1
                path.write_bytes(damaged)
            die()

    def dies_before_mark(self, trial, step):
        from orchestrator import mark_checkpoint

        if step == 3:
            die()
        mark_checkpoint(trial, step)

    def has_no_room(self, state, path):
        path.write_bytes(b"as much as there is room for")
        raise OSError(28, "No space left on device")

    def on_train_end(self, logs=None):
        import bigdl.nano.automl.tf.checkpoints as ours

        if self.trial.number == 3:
            ours._dump = self.dump


def die():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def whole():
    """What a trial gives that nobody kills: its history."""
    study = searched(dense(units=8, learning_rate=0.01, seeded=True), 1, epochs=EPOCHS, shuffle=False)
    return study.trials[0].user_attrs["history"]


def test_killed_trials_go_on_where_they_were(tmp_path, whole):
    search = {"epochs": EPOCHS, "shuffle": False, "n_parallels": 2, "checkpoint": True, "seed": 1}
    search["callbacks"] = lambda trial: [Fate(trial, tmp_path)]
    study = searched(dense(units=8, learning_rate=0.01, seeded=True), 4, **search)
    diaries = [(tmp_path / f"diary-{number}").read_text().splitlines() for number in range(4)]
    begun = [[int(line.split()[1]) for line in diary if "begin" in line] for diary in diaries]
    assert begun[0] == [0, 1, 2, 3, 3, 4, 5], "killed in its fourth epoch"
    assert begun[1] == [0, 1, 2, 3, 4, 5], "killed when the fourth was written, and not marked"
    assert begun[2] == [0, 1, 2, 3, 0, 1, 2, 3, 4, 5], "its checkpoint was damaged"
    assert begun[3] == [0, 1, 2, 3, 4, 5], "there was no room for checkpoints"
    for trial, diary in zip(study.trials, diaries, strict=True):
        assert diary[-1] == f"end 5 {EPOCHS * 4}", "the optimizer has counted all steps"
        assert trial.state is TrialState.COMPLETE
        assert trial.user_attrs["epochs"] == EPOCHS
        for name, values in trial.user_attrs["history"].items():
            assert values == pytest.approx(whole[name], rel=1e-3), (trial.number, name)
        reported = [trial.intermediate_values[step] for step in range(EPOCHS)]
        assert reported == pytest.approx(whole["val_accuracy"], rel=1e-3)
        assert len(trial.intermediate_values) == EPOCHS
    run = Path("nano-hpo-runs/sequential/run-001")
    assert not (run / "trials").exists(), "nothing is left"
    logs = "".join(path.read_text() for path in (run / "logs").iterdir())
    assert sorted(re.findall(r"WARNING (Trial \d.*checkpoint.*)", logs)) == [
        "Trial 2: its checkpoint cannot be used (it is damaged); it starts again from its first epoch.",
        "Trial 3 goes on without a new checkpoint (OSError: [Errno 28] No space left on device).",
    ]


# In this process: attempts one after the other


class Cut(BaseException):
    """A worker's end, as an objective sees it."""


class CutOff(keras.callbacks.Callback):
    """Ends the first attempt when an epoch begins, or by ``"end"`` when all are trained."""

    def __init__(self, trial, when, by):
        super().__init__()
        self.trial, self.when, self.by = trial, when, by

    def on_epoch_begin(self, epoch, logs=None):
        self.trial.set_user_attr("begun", [*self.trial.user_attrs.get("begun", []), epoch])
        self.cut(epoch)

    def on_train_end(self, logs=None):
        self.cut("end")

    def cut(self, now):
        if now == self.when and "cut" not in self.trial.user_attrs:
            self.trial.set_user_attr("cut", True)
            raise self.by


class Attempts:
    """An objective as ``search`` makes it, tried by hand."""

    def __init__(self, monkeypatch, run_dir):
        self.objective = None
        self.study = optuna.create_study()
        self.study.run_dir = run_dir
        monkeypatch.setattr("orchestrator.search", self.take)

    def take(self, objective, **kwargs):
        self.objective = objective
        raise Cut

    def prepare(self, model, cut=None, by=Cut, callbacks=(), **kwargs):
        """Take the objective of a search; attempts are cut off so."""

        def made(trial):
            return [*(copy.deepcopy(one) for one in callbacks), CutOff(trial, cut, by)]

        given = {"checkpoint": True, "epochs": EPOCHS, "shuffle": False, **kwargs}
        with pytest.raises(Cut):
            searched(model, 1, callbacks=made, **given)

    def attempt(self, trial):
        random.seed(1)
        return self.objective(trial)

    def of(self, model, cut=None, **kwargs):
        """A trial and its value, after a second attempt where the first one is cut off."""
        self.prepare(model, cut, **kwargs)
        trial = self.study.ask()
        if cut is not None:
            with pytest.raises(Cut):
                self.attempt(trial)
            assert [path.name for path in trial_dir(trial).iterdir()] == ["checkpoint"]
        value = self.attempt(trial)
        assert not folder_of(trial).exists()
        return trial, value


def folder_of(trial):
    return trial.study.run_dir / "trials" / f"trial-{trial.number:05d}"


@pytest.fixture
def attempts(monkeypatch, tmp_path):
    return Attempts(monkeypatch, tmp_path / "run")


def unbuilt():
    """A Sequential that sees the shape of its data in its first step."""
    from bigdl.nano.automl.tf.keras import Sequential

    layers = keras.layers
    return Sequential([layers.Dense(8), layers.BatchNormalization(), layers.Dropout(0.3), layers.Dense(10)])


def functional():
    from bigdl.nano.automl.tf.keras import Model
    from bigdl.nano.tf.keras import Input
    from bigdl.nano.tf.keras.layers import Dense

    inputs = Input(shape=(64,))
    return Model(inputs=inputs, outputs=Dense(10)(Dense(units=8, activation="tanh")(inputs)))


@hpo.tfmodel()
class TwoOptimizers(keras.Model):
    """Trains its two layers by an optimizer each."""

    def __init__(self, units):
        super().__init__()
        self.first, self.second = keras.layers.Dense(units), keras.layers.Dense(10)
        self.own = keras.optimizers.Adam(0.01)

    def call(self, x):
        return self.second(self.first(x))

    def train_step(self, data):
        x, y = data
        with tf.GradientTape(persistent=True) as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        for layer, optimizer in ((self.first, self.own), (self.second, self.optimizer)):
            variables = layer.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return {"loss": loss}


def compiled(model, eager=False):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    schedule = keras.optimizers.schedules.ExponentialDecay(0.02, 4, 0.8)
    model.compile(optimizer=keras.optimizers.Adam(schedule), loss=loss, run_eagerly=eager)
    return model


def dataset():
    return tf.data.Dataset.from_tensor_slices(digits(200)).batch(50)


FROM_A_DATASET = {"x": dataset, "y": None, "validation_split": None, "batch_size": None}


@pytest.mark.parametrize(
    ("make", "given"),
    [
        (lambda: compiled(unbuilt()), FROM_A_DATASET),
        (lambda: compiled(functional(), eager=True), {}),
        (lambda: compiled(TwoOptimizers(units=8), eager=True), {}),
    ],
    ids=["unbuilt, from a dataset", "functional", "two optimizers"],
)
def test_a_training_that_was_cut_off_ends_as_the_whole_one(attempts, make, given):
    given = {"target_metric": "loss", "direction": "minimize", **given}
    whole, value = attempts.of(make(), **given)
    other, again = attempts.of(make(), cut=3, **given)
    assert other.user_attrs["begun"] == [0, 1, 2, 3, 3, 4, 5]
    assert again == pytest.approx(value, rel=1e-5)
    for name, values in whole.user_attrs["history"].items():
        assert other.user_attrs["history"][name] == pytest.approx(values, rel=1e-5), name


def eager_dense(**kwargs):
    model = dense(**{"units": 8, "learning_rate": 0.02, **kwargs})
    model.compile(**{**model._compiling.kwargs, "run_eagerly": True})
    return model


class Falling(keras.callbacks.Callback):
    """Says that it gets worse from the third epoch on."""

    def on_epoch_end(self, epoch, logs=None):
        logs["val_score"] = [1.0, 0.5][min(epoch, 1)] + epoch / 10


def test_early_stopping_plateaus_and_the_epoch_that_counts_are_carried(attempts):
    watching = {"monitor": "val_score", "mode": "min"}
    stop = keras.callbacks.EarlyStopping(patience=3, restore_best_weights=True, **watching)
    plateau = keras.callbacks.ReduceLROnPlateau(patience=2, factor=0.5, **watching)
    given = {"callbacks": [Falling(), stop, plateau], "target_metric": "score", "keep_best": True}
    given |= {"target_metric_mode": "auto", "direction": "minimize"}
    whole, value = attempts.of(eager_dense(), **given)
    for cut in (3, 4, "end"):
        other, again = attempts.of(eager_dense(), cut=cut, **given)
        assert again == pytest.approx(value)
        history = other.user_attrs["history"]
        assert history["learning_rate"] == whole.user_attrs["history"]["learning_rate"]
        assert other.user_attrs["epochs"] == whole.user_attrs["epochs"] == 5
        weights = kept_weights(whole), kept_weights(other)
        assert all(map(partial(np.allclose, rtol=1e-4), *weights))


def kept_weights(trial):
    with np.load(trial.study.run_dir / "weights" / file_name(trial.number)) as stored:
        return [stored[name] for name in stored.files if name.startswith("weight_")]


class Order(keras.callbacks.Callback):
    """Writes down the losses of batches: without learning they tell what was in them."""

    losses: ClassVar = []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(round(float(logs["loss"]), 5))


def test_the_first_epochs_order_is_not_repeated(attempts):
    Order.losses.clear()
    attempts.of(eager_dense(learning_rate=0.0), cut=1, callbacks=[Order()], epochs=2, shuffle=True)
    assert len(Order.losses) == 8
    assert Order.losses[:4] != Order.losses[4:]


@pytest.mark.parametrize("error", [optuna.TrialPruned, ValueError, SystemExit])
def test_the_file_of_a_trial_that_is_over_goes(attempts, error):
    attempts.prepare(eager_dense(), cut=1, by=error)
    trial = attempts.study.ask()
    with pytest.raises(error):
        attempts.attempt(trial)
    assert trial.storage.get_trial_system_attrs(trial._trial_id)[CHECKPOINT] == 0  # one was written
    assert last_checkpoint(trial) is None
    assert not folder_of(trial).exists()


def test_a_model_that_was_changed_meanwhile_starts_again(attempts, caplog):
    attempts.prepare(eager_dense(), cut=1, epochs=2)
    trial = attempts.study.ask()
    with pytest.raises(Cut):
        attempts.attempt(trial)
    attempts.prepare(eager_dense(units=9), epochs=2)
    attempts.attempt(trial)
    assert trial.user_attrs["begun"] == [0, 1, 0, 1]
    assert "cannot be used (ValueError: the model has other variables)" in caplog.text
    stored = attempts.study.trials[0]
    values = stored.user_attrs["history"]["val_accuracy"]
    assert list(stored.intermediate_values.values()) == pytest.approx(values, rel=1e-5)


def test_what_was_reported_after_the_checkpoint_is_reported_once_more(attempts):
    """The storage gives a trial back with its values up to the step that was marked, or with none."""
    for left in ({}, {0: 0.125}):
        attempts.prepare(eager_dense(), cut=2, epochs=3)
        trial = attempts.study.ask()
        with pytest.raises(Cut):
            attempts.attempt(trial)
        again = attempts.study.ask()
        stored = attempts.study._storage._get_trial(again._trial_id)
        stored.intermediate_values = dict(left)
        for key, value in trial.storage.get_trial_system_attrs(trial._trial_id).items():
            again.storage.set_trial_system_attr(again._trial_id, key, value)
        attempts.prepare(eager_dense(), epochs=3)
        attempts.attempt(again)
        assert again.user_attrs["begun"] == [2]
        values = again.user_attrs["history"]["val_accuracy"]
        reported = again.storage.get_trial(again._trial_id).intermediate_values
        assert [reported[step] for step in range(3)] == pytest.approx(values, rel=1e-5)


def test_files_of_trials_that_were_ended_from_outside_are_removed_after_the_search(tmp_path):
    trials = []
    for number, state in enumerate((TrialState.FAIL, TrialState.WAITING)):
        folder = tmp_path / "run-001" / "trials" / f"trial-{number:05d}"
        folder.mkdir(parents=True)
        (folder / "checkpoint").touch()
        trials.append(SimpleNamespace(state=state, system_attrs={FOLDER: str(folder)}))
    remove_leftovers(SimpleNamespace(run_dir=tmp_path / "run-002", trials=trials))
    assert [path.name for path in (tmp_path / "run-001" / "trials").iterdir()] == ["trial-00001"]


def test_no_file_is_written_unasked_or_in_memory(attempts, monkeypatch):
    attempts.prepare(eager_dense(), checkpoint=False, epochs=1)
    trial = attempts.study.ask()
    attempts.attempt(trial)
    assert not folder_of(trial).parent.exists()
    assert last_checkpoint(trial) is None
    monkeypatch.undo()
    study = searched(eager_dense(), 1, checkpoint=True)
    assert study.trials[0].user_attrs["epochs"] == 2
    assert study.trials[0].system_attrs.keys() & {FOLDER, CHECKPOINT} == set()


@pytest.mark.parametrize("given", ["yes", 1])
def test_the_argument_is_a_bool(given):
    with pytest.raises(TypeError, match=r"checkpoint is .*; it must be True or False"):
        searched(dense(), 1, checkpoint=given)


@hpo.tfmodel()
class OwnFit(keras.Model):
    def fit(self, x, y, callbacks, epochs=1, verbose=0, validation_data=None, batch_size=None):
        """As one may write it."""


def test_a_fit_that_begins_nowhere_else_is_refused():
    with pytest.raises(ValueError, match=r"OwnFit\.fit takes no initial_epoch"):
        compiled(OwnFit()).search(n_trials=1, checkpoint=True)
