"""A search over a Keras model in this process: what it stores, what it refuses, what comes after it."""

from __future__ import annotations

import gc

import keras
import numpy as np
import optuna
import pytest
import tensorflow as tf
from optuna.trial import TrialState

import bigdl.nano.automl.hpo as hpo
import bigdl.nano.automl.hpo.space as space
from bigdl.nano.automl.hpo.sharing import SharedParameterWarning
from bigdl.nano.automl.tf.keras import Model, Sequential
from orchestrator import RunFailed
from tests.bigdl.keras_models import dense, digits, searched


@pytest.fixture(scope="module")
def done():
    """A searched model and its study; tests must not change them."""
    model = dense()
    study = searched(
        model, 3, batch_size=space.Categorical(32, 64), epochs=space.Int(1, 2), keep_best=True, seed=1
    )
    return model, study


# What is stored


def test_parameters_have_the_names_of_the_old_system(done):
    names = {"units", "learning_rate", "batch_size\u2581choice", "epochs"}
    assert all(trial.params.keys() == names for trial in done[1].trials)
    assert all(trial.params["batch_size\u2581choice"] in (32, 64) for trial in done[1].trials)


def test_the_value_is_the_validation_metric_of_the_last_epoch(done):
    study = done[1]
    assert study.direction.name == "MAXIMIZE"
    for trial in study.trials:
        assert trial.state is TrialState.COMPLETE
        assert trial.value == pytest.approx(trial.user_attrs["history"]["val_accuracy"][-1])


def test_every_trial_holds_its_epochs_and_its_history(done):
    for trial in done[1].trials:
        assert trial.user_attrs["epochs"] == trial.params["epochs"] == len(trial.intermediate_values)
        history = trial.user_attrs["history"]
        assert history.keys() == {"loss", "accuracy", "val_loss", "val_accuracy"}
        assert all(len(values) == trial.params["epochs"] for values in history.values())
        assert list(trial.intermediate_values.values()) == pytest.approx(history["val_accuracy"])
        assert trial.duration.total_seconds() > 0


def test_the_same_seed_gives_the_same_search():
    one, other = (searched(dense(), 2, seed=5) for _ in range(2))
    assert [t.params for t in one.trials] == [t.params for t in other.trials]
    assert one.trials[0].value == pytest.approx(other.trials[0].value)
    assert one.trials[0].params != one.trials[1].params


def test_several_metrics_make_a_search_of_several_objectives():
    model = dense()
    study = searched(model, 2, target_metric=["accuracy", "loss"])
    assert [way.name for way in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    for trial in study.trials:
        history = trial.user_attrs["history"]
        expected = [history["val_accuracy"][-1], history["val_loss"][-1]]
        assert trial.values == pytest.approx(expected)


@pytest.mark.parametrize(("mode", "choose"), [("max", max), ("min", min), ("auto", max)])
def test_the_mode_chooses_the_epoch(mode, choose):
    study = searched(dense(learning_rate=0.5), 1, epochs=4, target_metric_mode=mode)
    trial = study.trials[0]
    assert trial.value == pytest.approx(choose(trial.user_attrs["history"]["val_accuracy"]))


def test_hopeless_trials_are_pruned_and_keep_their_history():
    study = searched(dense(), 2, epochs=5, pruner="threshold", pruner_kwargs={"lower": 2.0})
    for trial in study.trials:
        assert trial.state is TrialState.PRUNED
        assert trial.user_attrs["epochs"] == 1
        assert trial.value == pytest.approx(trial.user_attrs["history"]["val_accuracy"][0])


def test_a_long_history_is_thinned_and_rounded():
    from bigdl.nano.automl.search.history import compact

    stored = compact({"loss": [0.123456789, float("nan")] * 5000, "accuracy": [1.0] * 10_000})
    assert stored["loss"][0] == 0.1234568
    assert len(stored["loss"]) == len(stored["accuracy"]) == 1250
    assert compact({"loss": [float("inf"), float("nan"), 0.5]}) == {"loss": [None, None, 0.5]}


# What comes after


def test_evaluate_after_the_search_has_the_kept_weights_of_the_best_trial(done):
    model, study = done
    x, y = digits(300)
    model.end_search()
    assert model.evaluate(x[240:], y[240:], verbose=0)[1] == pytest.approx(study.best_value, abs=1e-6)


def test_fit_takes_the_best_parameters_those_of_fit_included(done):
    model, study = done
    x, y = digits(300)
    assert len({(t.params["epochs"], t.params["batch_size\u2581choice"]) for t in study.trials}) > 1
    for trial in study.trials:
        history = model.fit(x, y, use_trial_id=trial.number, verbose=0)
        assert len(history.epoch) == trial.params["epochs"]
        assert history.params["steps"] == -(-300 // trial.params["batch_size\u2581choice"])
    model.end_search()
    assert model.layers[0].units == study.best_params["units"]
    assert float(model.optimizer.learning_rate) == pytest.approx(study.best_params["learning_rate"])


def test_what_is_given_to_fit_wins_over_what_was_searched(done):
    x, y = digits(300)
    assert len(done[0].fit(x, y, None, 3, verbose=0).epoch) == 3


def test_fit_takes_the_parameters_of_a_chosen_trial(done):
    model, study = done
    x, y = digits(100)
    for number in (1, 2):
        model.fit(x, y, use_trial_id=number, verbose=0)
        assert model.layers[0].units == study.trials[number].params["units"]


def test_fit_begins_with_the_kept_weights_or_afresh(done):
    model = done[0]
    x, y = digits(300)
    model.end_search()
    kept = model.evaluate(x, y, verbose=0)[1]
    model.end_search(use_kept_weights=False)
    fresh = model.evaluate(x, y, verbose=0)[1]
    assert kept > fresh + 0.1


def test_a_trial_that_is_not_there_is_refused(done):
    with pytest.raises(ValueError, match="use_trial_id is 7; the search has trials 0 to 2"):
        done[0].end_search(7)


def test_the_model_is_a_keras_model_afterwards(done, tmp_path):
    model = done[0]
    x, y = digits(10)
    model.end_search()
    model.fit(x, y, verbose=0)
    assert model.predict(x, verbose=0).shape == (10, 10)
    assert model.get_layer(index=0) is model.layers[0]
    lines = []
    model.summary(print_fn=lambda line, **_: lines.append(line))
    assert "dense" in "\n".join(lines)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5)
    model.trainable = False
    assert model.keras_model.trainable is False
    assert model(x).shape == (10, 10)


class Scripted(keras.callbacks.Callback):
    """Makes each later trial more accurate, and its loss larger."""

    def __init__(self, trial):
        super().__init__()
        self.number = trial.number

    def on_epoch_end(self, epoch, logs=None):
        logs["val_accuracy"] = logs["val_loss"] = 0.1 * (self.number + 1)


def test_of_several_best_trials_one_must_be_chosen():
    model = dense(learning_rate=0.01)
    x, y = digits(100)
    given = {"target_metric": ["accuracy", "loss"], "callbacks": lambda trial: [Scripted(trial)]}
    study = searched(model, 2, epochs=1, **given)
    with pytest.raises(ValueError, match=r"has 2 best trials.*: 0, 1.*use_trial_id=0"):
        model.fit(x, y, verbose=0)
    model.fit(x, y, use_trial_id=1, verbose=0)
    assert model.layers[0].units == study.trials[1].params["units"]


def test_the_kept_weights_are_those_of_the_epoch_that_counts():
    model = dense(learning_rate=0.3)
    study = searched(model, 1, epochs=6, target_metric_mode="max", keep_best=True, seed=3)
    x, y = digits(300)
    history = study.trials[0].user_attrs["history"]["val_accuracy"]
    assert max(history) > history[-1], "the last epoch must not be the best for this test"
    assert model.evaluate(x[240:], y[240:], verbose=0)[1] == pytest.approx(max(history), abs=1e-6)


def test_kept_weights_go_with_the_model():
    model = dense()
    searched(model, 1, keep_best=True)
    (folder,) = model._searched.folders
    assert list(folder.glob("*.npz"))
    del model
    gc.collect()
    assert not folder.exists()


# Searching again


def test_a_search_begins_from_scratch_unless_it_is_resumed():
    model = dense()
    first = searched(model, 2)
    again = searched(model, 2)
    assert len(again.trials) == len(first.trials) == 2
    before = [trial.params for trial in again.trials]
    resumed = searched(model, 3, resume=True)
    assert [trial.number for trial in resumed.trials] == [0, 1, 2, 3, 4]
    assert [trial.params for trial in resumed.trials[:2]] == before


def test_a_resumed_search_may_find_a_better_model_for_fit():
    model = dense(units=8)
    x, y = digits(100)
    searched(model, 1, keep_best=True)
    model.fit(x, y, verbose=0)
    study = searched(model, 3, resume=True, keep_best=True)
    model.fit(x, y, verbose=0)
    assert float(model.optimizer.learning_rate) == pytest.approx(study.best_params["learning_rate"])


def test_the_weights_of_the_search_before_are_kept_while_it_is_resumed():
    model = dense(learning_rate=0.02)
    best = searched(model, 1, epochs=6, keep_best=True).best_value
    study = searched(model, 1, resume=True, epochs=1, batch_size=300, keep_best=True)
    assert study.best_trial.number == 0
    gc.collect()
    x, y = digits(300)
    assert model.evaluate(x[240:], y[240:], verbose=0)[1] == pytest.approx(best, abs=1e-6)


def test_what_was_never_searched_cannot_be_resumed():
    with pytest.raises(ValueError, match="resume=True: this model has not been searched"):
        searched(dense(), 1, resume=True)


def test_a_search_in_memory_goes_on_in_workers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = dense()
    first = searched(model, 1)
    resumed = searched(model, 2, resume=True, n_parallels=2)
    assert len(resumed.trials) == 3
    assert resumed.trials[0].params == first.trials[0].params


# Without a search


def test_fit_says_what_must_be_searched_first():
    x, y = digits(10)
    with pytest.raises(
        ValueError, match="fit: nothing has been chosen for learning_rate, units; call search"
    ):
        dense().fit(x, y)


@pytest.mark.parametrize("name", ["evaluate", "summary", "layers", "keras_model"])
def test_what_needs_the_model_says_what_must_be_searched_first(name):
    with pytest.raises(ValueError, match=f"{name}: nothing has been chosen for"):
        getattr(dense(), name)


def test_a_model_without_spaces_is_a_keras_model_at_once():
    x, y = digits(50)
    model = dense(units=8, learning_rate=0.01)
    assert model.count_params() == 64 * 8 + 8 + 8 * 10 + 10
    before = model.get_weights()
    history = model.fit(x, y, epochs=2, verbose=0)
    assert len(history.epoch) == 2
    assert any(np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True))


def test_a_model_must_be_compiled_first():
    model = Sequential([keras.Input(shape=(64,)), keras.layers.Dense(10)])
    x, y = digits(10)
    with pytest.raises(ValueError, match=r"search: the model is not compiled; call compile"):
        model.search(n_trials=1, x=x, y=y)
    with pytest.raises(ValueError, match="There has been no search; call search"):
        model.search_summary()


def test_what_keras_does_not_have_is_an_attribute_error():
    model = dense()
    assert not hasattr(model, "serch")
    with pytest.raises(AttributeError, match="has no attribute 'serch'; neither has Sequential"):
        _ = model.serch


def test_compile_after_the_search_compiles_the_model(done):
    model = dense(units=8, learning_rate=0.01)
    x, y = digits(50)
    model.fit(x, y, verbose=0)
    model.compile(optimizer=keras.optimizers.SGD(0.5), loss=keras.losses.MeanSquaredError())
    assert isinstance(model.optimizer, keras.optimizers.SGD)


def test_compile_refuses_what_keras_would():
    model = Sequential([keras.layers.Dense(1)])
    with pytest.raises(TypeError, match="optimiser"):
        model.compile(optimiser="adam")


# Checked before anything runs


@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        ({"n_trails": 3}, TypeError, "no argument 'n_trails'. Did you mean n_trials"),
        ({"target_metric": "acuracy"}, ValueError, "Did you mean 'val_accuracy'"),
        (
            {"target_metric": "acuracy", "callbacks": [keras.callbacks.EarlyStopping()]},
            ValueError,
            "val_accuracy",
        ),
        ({"target_metric": "accuracy", "direction": "minimize"}, ValueError, "cannot be minimised"),
        ({"target_metric": ["accuracy", "loss"], "pruner": "median"}, ValueError, "cannot be pruned"),
        ({"target_metric_mode": "best"}, ValueError, "choose from last, max, min, auto"),
        ({"n_trials": None}, ValueError, "needs an end"),
        ({"tune_callbacks": [3]}, Exception, "callback"),
        ({"sampler": "tpee"}, Exception, "did you mean tpe"),
    ],
)
def test_a_mistake_is_said_before_anything_runs(arguments, kind, says):
    ran = []
    given = {"n_trials": 1, "callbacks": lambda: ran.append(1), **arguments}
    if arguments == {"target_metric": "acuracy"}:
        given.pop("callbacks")
    with pytest.raises(kind, match=says):
        searched(dense(), given.pop("n_trials"), **given)
    assert not ran


def test_shared_names_are_said_with_both_places():
    from bigdl.nano.tf.keras.layers import Dense

    model = Sequential([keras.Input(shape=(64,))])
    model.add(Dense(units=space.Categorical(8, 16)))
    model.add(Dense(units=space.Categorical(10, 12)))
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    with pytest.warns(SharedParameterWarning, match=r"'units' .*test_keras_search.py:\d+.*prefix="):
        study = searched(model, 2)
    assert all(trial.params["units\u2581choice"] in (10, 12) for trial in study.trials)


def test_default_values_that_make_no_model_leave_the_check_to_the_trials():
    model = dense(units=space.Categorical(-1, 8))
    with pytest.warns(UserWarning, match="With default values the model cannot be evaluated"):
        study = searched(model, 6, seed=1)
    states = {trial.params["units\u2581choice"]: trial.state.name for trial in study.trials}
    assert states == {-1: "FAIL", 8: "COMPLETE"}


def test_a_search_whose_trials_all_fail_says_why():
    with (
        pytest.warns(UserWarning, match="cannot be evaluated"),
        pytest.raises(RunFailed, match="units"),
    ):
        searched(dense(units=space.Categorical(-1, -2)), 10)


# What is fresh in every trial


def test_objects_of_keras_are_made_anew_for_every_trial_and_the_given_ones_stay_as_they_are():
    optimizer, loss = (
        keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    metric, layer = keras.metrics.SparseCategoricalAccuracy(name="accuracy"), keras.layers.Dense(10)
    model = Sequential([keras.Input(shape=(64,)), layer])
    model.compile(optimizer=optimizer, loss=loss, metrics=[metric])
    x, y = digits(100)
    study = searched(model, 2, batch_size=space.Int(16, 32))
    model.fit(x, y, verbose=0)
    assert not layer.built
    assert not optimizer.built
    assert float(metric.total) == 0
    assert len(study.trials) == 2


class Counting(keras.callbacks.Callback):
    """Counts the epochs that this very object has seen."""

    seen: list[int] = []  # noqa: RUF012 - of all copies

    def __init__(self):
        super().__init__()
        self.epochs = 0

    def on_epoch_end(self, epoch, logs=None):
        self.epochs += 1
        self.seen.append(self.epochs)


def test_every_trial_has_callbacks_of_its_own():
    Counting.seen.clear()
    mine = Counting()
    searched(dense(), 2, callbacks=[mine])
    assert Counting.seen == [1, 2, 1, 2]
    assert mine.epochs == 0


def test_callbacks_may_be_a_function_of_the_trial():
    numbers = []
    searched(dense(), 2, callbacks=lambda trial: numbers.append(trial.number) or [Counting()])
    assert numbers == [0, 1]
    searched(dense(), 1, callbacks=lambda: [Counting()])


def test_arguments_of_callbacks_are_searched():
    stopping = hpo.obj()(keras.callbacks.EarlyStopping)
    study = searched(dense(), 2, epochs=3, callbacks=[stopping(monitor="val_loss", patience=space.Int(1, 3))])
    assert all(trial.params["patience"] in (1, 2, 3) for trial in study.trials)


def test_callbacks_that_stop_early_are_heard():
    study = searched(
        dense(learning_rate=10.0), 1, epochs=30, callbacks=[keras.callbacks.EarlyStopping("loss", patience=1)]
    )
    assert study.trials[0].user_attrs["epochs"] < 30


def test_tune_callbacks_see_every_finished_trial_and_may_stop_the_search():
    seen = []

    def stop_after_two(study, trial):
        seen.append(trial.number)
        if len(seen) == 2:
            study.stop()

    study = searched(dense(), 10, tune_callbacks=[stop_after_two])
    assert seen == [0, 1]
    assert len(study.trials) == 2


def test_old_arguments_of_optuna_are_understood():
    study = searched(
        dense(), 2, sampler=optuna.samplers.RandomSampler(seed=1), catch=(ValueError,), gc_after_trial=True
    )
    assert len(study.trials) == 2


# Data


def test_a_dataset_is_searched_in_this_process():
    x, y = digits(100)
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(20)
    study = searched(
        dense(), 2, x=dataset, y=None, validation_data=dataset, validation_split=None, batch_size=None
    )
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 2


# Other kinds of models


@hpo.tfmodel()
class Net(tf.keras.Model):
    """A model of the user's own."""

    n_classes = 10

    def __init__(self, units, rate=0.1):
        super().__init__()
        self.hidden = tf.keras.layers.Dense(units, activation="relu")
        self.drop = tf.keras.layers.Dropout(rate)
        self.out = tf.keras.layers.Dense(self.n_classes)

    def call(self, inputs, training=False):
        return self.out(self.drop(self.hidden(inputs), training=training))

    def double(self):
        return 2 * self.hidden.units


def test_a_class_of_the_users_own_is_searched_and_made():
    model = Net(space.Int(4, 16), rate=space.Real(0.1, 0.3))
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    study = searched(model, 2, keep_best=True)
    assert study.trials[0].params.keys() == {"units", "rate"}
    x, y = digits(300)
    assert model.evaluate(x[240:], y[240:], verbose=0)[1] == pytest.approx(study.best_value, abs=1e-6)
    assert model.double() == 2 * study.best_params["units"]
    assert isinstance(model.keras_model, Net)
    assert Net.n_classes == 10


def test_a_class_of_the_users_own_refuses_wrong_arguments_where_they_are_written():
    with pytest.raises(TypeError, match=r"Net: missing a required argument: 'units'"):
        Net(rate=0.1)
    with pytest.raises(TypeError, match=r"decorates a subclass of tf\.keras\.Model; .*Plain is none"):

        @hpo.tfmodel()
        class Plain:
            """No model."""


def test_a_functional_model_with_a_shared_layer_and_two_outputs():
    from bigdl.nano.tf.keras import Input
    from bigdl.nano.tf.keras.layers import Concatenate, Dense

    image = Input(shape=(64,))
    shared = Dense(units=space.Int(4, 16, prefix="shared"), activation="relu")
    both = Concatenate()([shared(image[:, :32]), shared(image[:, 32:])])
    middle = space.Categorical(
        Dense(units=space.Int(4, 8), activation="relu"),
        Dense(units=space.Categorical(12, 16)),
        prefix="middle",
    )(both)
    model = Model(
        inputs=image,
        outputs={"digit": Dense(10, name="digit")(middle), "even": Dense(1, name="even")(middle)},
    )
    model.compile(
        optimizer="adam",
        loss={
            "digit": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "even": keras.losses.BinaryCrossentropy(from_logits=True),
        },
        metrics={"digit": ["accuracy"], "even": ["accuracy"]},
    )
    x, y = digits(300)
    answers = {"digit": y, "even": (y % 2 == 0).astype("float32")}
    study = searched(model, 6, y=answers, target_metric="digit_accuracy", seed=1)
    branches = {frozenset(trial.params) for trial in study.trials}
    assert branches == {
        frozenset({"shared:units", "middle:layer\u2581choice", "middle:layer\u25810\u2581units"}),
        frozenset({"shared:units", "middle:layer\u2581choice", "middle:layer\u25811\u2581units\u2581choice"}),
    }
    model.fit(x, answers, verbose=0)
    first = next(layer for layer in model.layers if isinstance(layer, keras.layers.Dense))
    assert first.units == study.best_params["shared:units"]
    assert first.kernel.shape[0] == 32


# What is said when little came out


def test_a_short_search_whose_trials_all_fail_says_what_they_failed_of():
    with (
        pytest.warns(UserWarning, match="With default values the model cannot be evaluated"),
        pytest.warns(UserWarning, match=r"No trial of the search is complete\. Trial 1: raised ValueError"),
    ):
        searched(dense(units=space.Categorical(-1, -2)), 2)


def test_weights_that_are_not_there_are_said():
    model = dense(learning_rate=0.01, units=space.Int(1, 32))
    searched(model, 2, epochs=5, seed=1)
    study = searched(model, 1, resume=True, keep_best=True, epochs=1, batch_size=300)
    assert study.best_trial.number < 2
    with pytest.warns(UserWarning, match=r"No weights are kept of trial \d: the model is untrained"):
        model.end_search()
    model.end_search(2)  # has some


def test_attributes_of_the_users_model_are_the_users():
    @hpo.tfmodel()
    class Parted(tf.keras.Model):
        def __init__(self, units):
            super().__init__()
            self.parts = ["hidden", units]
            self.resolve = units
            self.out = tf.keras.layers.Dense(10)

        def call(self, inputs):
            return self.out(inputs)

    model = Parted(3)
    assert list(model.parts) == ["hidden", 3]
    assert model.resolve == 3


# What holds for the whole program


@pytest.fixture
def half_precision():
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.usefixtures("half_precision")
def test_the_policy_of_mixed_precision_holds_in_trials_and_afterwards():
    seen = []

    class Policy(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen.append(self.model.layers[0].dtype_policy.name)

    model = dense()
    searched(model, 2, callbacks=lambda: [Policy()])
    assert seen == ["mixed_float16"] * 2
    assert keras.config.dtype_policy().name == "mixed_float16"
    x, y = digits(32)
    model.fit(x, y, verbose=0)
    assert model.layers[0].dtype_policy.name == "mixed_float16"


@pytest.mark.parametrize(
    "metric", [keras.metrics.SparseTopKCategoricalAccuracy(3, name="top3"), "lazy"], ids=["object", "lazy"]
)
def test_the_default_target_is_the_first_metric_also_of_objects(metric):
    if metric == "lazy":
        metric = hpo.obj()(keras.metrics.SparseTopKCategoricalAccuracy)(k=3, name="top3")
    study = searched(dense(metrics=[metric]), 1, direction="maximize")
    assert study.best_value == pytest.approx(study.trials[0].user_attrs["history"]["val_top3"][-1])


def test_a_callback_that_cannot_be_copied_is_refused_with_the_way_out():
    import threading

    class Locked(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.lock = threading.Lock()

    with pytest.raises(TypeError, match=r"Callback Locked cannot be copied .*callbacks=lambda: \[Locked"):
        searched(dense(), 1, callbacks=[Locked()])
    assert len(searched(dense(), 1, callbacks=lambda: [Locked()]).trials) == 1


def test_a_searched_model_says_what_can_be_saved():
    import copy

    model = dense()
    assert copy.deepcopy(model)._name == model._name
    searched(model, 1)
    with pytest.raises(TypeError, match="cannot be copied or pickled; keras_model"):
        copy.deepcopy(model)


def test_choices_may_be_numbers_of_numpy():
    study = searched(dense(units=space.Categorical(*np.array([4, 8]))), 1)
    assert study.trials[0].state is TrialState.COMPLETE
