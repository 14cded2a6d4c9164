# ruff: noqa: N803 - Input and Model are names of Keras
"""Recorded Keras models against the same models written by hand, and what may be put into them."""

import itertools
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cloudpickle
import keras
import numpy as np
import optuna
import pytest
import tensorflow as tf

import bigdl.nano.automl.hpo as hpo
from bigdl.nano.automl import hpo_config
from bigdl.nano.automl.hpo import space
from bigdl.nano.automl.hpo.sharing import SharedParameterWarning, last_definitions, parameters_in
from bigdl.nano.automl.hpo.values import DefaultValues, StoredValues, TrialValues
from bigdl.nano.automl.tf.build import KerasBuild
from bigdl.nano.automl.tf.function_layer import FunctionLayer
from bigdl.nano.automl.tf.kept import keep, kept
from bigdl.nano.automl.tf.keras import Model, Sequential

hpo_config.enable_hpo_tf()
from bigdl.nano.tf import cast  # noqa: E402
from bigdl.nano.tf.keras import Input, layers  # noqa: E402

hpo_config.disable_hpo_tf()

ROOM = Path(__file__).resolve().parents[2]
RNG = np.random.default_rng(1)
N_CALLS = 2000


def numbers(*shape: int) -> Any:
    return RNG.normal(size=(3, *shape)).astype("float32")


def build(model: Any, values: Any = None, **params: Any) -> Any:
    """A Keras model of the recipe, as a trial makes it."""
    keep(model._recipe)
    values = values or (StoredValues(params) if params else DefaultValues())
    return KerasBuild(values, last_definitions(model._recipe)).resolve(model._recipe)


def names_in(model: Any) -> list[str]:
    return sorted({name for name, _, _ in parameters_in(model._recipe)})


def predicted(model: Any, data: Any) -> Any:
    """Outputs as a list of arrays, called without a compilation."""
    return [np.asarray(one) for one in keras.tree.flatten(model(data))]


def assert_same_model(made: Any, by_hand: Any, data: Any) -> None:
    """The weights are as many and of the same shapes; the same weights give the same predictions."""
    assert [one.shape for one in made.weights] == [one.shape for one in by_hand.weights]
    by_hand.set_weights([RNG.normal(size=one.shape) * 0.3 for one in by_hand.weights])
    made.set_weights(by_hand.get_weights())
    theirs, ours = predicted(by_hand, data), predicted(made, data)
    assert len(theirs) == len(ours)
    for one, other in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert [type(one).__name__ for one in made.layers] == [type(one).__name__ for one in by_hand.layers]


@pytest.fixture(autouse=True)
def _enabled() -> Iterator[None]:
    hpo_config.enable_hpo_tf()
    yield
    hpo_config.disable_hpo_tf()


# The same architecture twice: written by ``L`` and ``input_``, ours or Keras's, with ``func`` for functions


@hpo.obj()
class Scale(keras.layers.Layer):
    """A layer of one's own."""

    def __init__(self, by: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.by = by

    def call(self, x: Any) -> Any:
        return x * self.by


def shared_layer(L: Any, Input: Any, Model: Any, func: Any) -> Any:
    a, b = Input(shape=(6,)), Input(shape=(6,))
    dense = L.Dense(units=4, activation="tanh")
    return Model(inputs=[a, b], outputs=L.Dense(units=2)(L.Concatenate()([dense(a), dense(b), dense(a)])))


def two_outputs(L: Any, Input: Any, Model: Any, func: Any) -> Any:
    a = Input(shape=(6,))
    x = L.Dense(units=5, activation="relu")(a)
    return Model(inputs=a, outputs=[L.Dense(units=2)(x), L.Dense(units=3, activation="softmax")(x)])


def dictionaries(L: Any, Input: Any, Model: Any, func: Any) -> Any:
    a, b = Input(shape=(6,), name="a"), Input(shape=(4,), name="b")
    x = L.Add()([L.Dense(units=3)(a), L.Dense(units=3)(b)])
    return Model(inputs={"a": a, "b": b}, outputs={"sum": x, "twice": L.Multiply()([x, x])})


def attention(L: Any, Input: Any, Model: Any, func: Any) -> Any:
    a, mask = Input(shape=(5, 6)), Input(shape=(5, 5), dtype="bool")
    x = L.MultiHeadAttention(num_heads=2, key_dim=3)(query=a, value=a, attention_mask=mask)
    return Model(inputs=[a, mask], outputs=L.LayerNormalization()(a + x))


def with_training(L: Any, Input: Any, Model: Any, func: Any) -> Any:
    a = Input(shape=(6,))
    x = L.BatchNormalization()(a, training=False)
    return Model(inputs=a, outputs=L.Dropout(rate=0.9)(x, training=False))


def masked(L: Any, Input: Any, Model: Any, func: Any) -> Any:
    a = Input(shape=(7,), dtype="int32")
    x = L.Embedding(input_dim=9, output_dim=4, mask_zero=True)(a)
    x = L.LSTM(units=3, return_sequences=True)(x)
    return Model(inputs=a, outputs=L.GlobalAveragePooling1D()(x))


def states(L: Any, Input: Any, Model: Any, func: Any) -> Any:
    a = Input(shape=(5, 6))
    x, h, c = L.LSTM(units=3, return_state=True, return_sequences=True)(a)
    y = L.LSTM(units=3)(x, initial_state=[h, c])
    return Model(inputs=a, outputs=L.Concatenate()([y, h, c]))


def arithmetic(L: Any, Input: Any, Model: Any, func: Any) -> Any:
    a, b = Input(shape=(6,)), Input(shape=(6,))
    x = (2.0 - a) * b / 3.0 + 1.0 / (b**2 + 1.0) - abs(-a) % 2.0 + 2.0**b
    x = x + 5.0 * a - (a // 2.0)
    return Model(inputs=[a, b], outputs=L.Dense(units=2)(x))


def slices(L: Any, Input: Any, Model: Any, func: Any) -> Any:
    a = Input(shape=(5, 6))
    return Model(inputs=a, outputs=[a[:, 0], a[..., 1:3], a[:, ::2, -1], L.Flatten()(a[:, 1:])])


def matrices(L: Any, Input: Any, Model: Any, func: Any) -> Any:
    a, b = Input(shape=(5, 6)), Input(shape=(6, 4))
    return Model(inputs=[a, b], outputs=L.Dense(units=2)(a @ b))


def shapes(L: Any, Input: Any, Model: Any, func: Any) -> Any:
    a = Input(shape=(5, 6))
    x = L.Dense(units=a.shape[-1])(a)
    return Model(inputs=a, outputs=L.Reshape(target_shape=(a.shape[1] * a.shape[2],))(x + a))


def functions(L: Any, Input: Any, Model: Any, func: Any) -> Any:
    a = Input(shape=(6,))
    x = func(keras.ops.tanh)(L.Dense(units=4)(a))
    x = func(keras.ops.concatenate)([x, func(keras.ops.relu)(x)], axis=-1)
    return Model(inputs=a, outputs=func(keras.activations.softmax)(x))


def merging(L: Any, Input: Any, Model: Any, func: Any) -> Any:
    a, b = Input(shape=(6,)), Input(shape=(6,))
    x = L.add([L.subtract([a, b]), L.maximum([a, b])])
    return Model(inputs=[a, b], outputs=L.Dot(axes=1)([x, L.average([a, b])]))


def wrapped(L: Any, Input: Any, Model: Any, func: Any) -> Any:
    a = Input(shape=(5, 6))
    x = L.Bidirectional(layer=L.GRU(units=3, return_sequences=True))(a)
    return Model(inputs=a, outputs=L.TimeDistributed(L.Dense(units=2))(x))


def nested_twice(L: Any, Input: Any, Model: Any, func: Any) -> Any:
    i = Input(shape=(6,))
    inner = Model(inputs=i, outputs=L.Dense(units=4, activation="relu")(i))
    a, b = Input(shape=(6,)), Input(shape=(6,))
    return Model(inputs=[a, b], outputs=L.Dense(units=2)(inner(a) - inner(b)))


def convolution(L: Any, Input: Any, Model: Any, func: Any) -> Any:
    a = Input(shape=(8, 8, 1))
    x = L.Conv2D(filters=3, kernel_size=(3, 3), activation="relu")(a)
    x = L.MaxPooling2D()(x)
    return Model(inputs=a, outputs=L.Dense(units=2)(L.Flatten()(x)))


def own_layer(L: Any, Input: Any, Model: Any, func: Any) -> Any:
    scale = Scale if L is layers else Scale.__wrapped__
    a = Input(shape=(6,))
    return Model(inputs=a, outputs=scale(by=3.0)(L.Dense(units=2)(a)))


BOOLEANS = RNG.random((3, 5, 5)) > 0.3
TOKENS = np.array([[1, 2, 3, 0, 0, 0, 0], [4, 5, 0, 0, 0, 0, 0], [1, 2, 3, 4, 5, 6, 7]])
ARCHITECTURES: list[tuple[Callable[..., Any], Any]] = [
    (shared_layer, [numbers(6), numbers(6)]),
    (two_outputs, numbers(6)),
    (dictionaries, {"a": numbers(6), "b": numbers(4)}),
    (attention, [numbers(5, 6), BOOLEANS]),
    (with_training, numbers(6)),
    (masked, TOKENS),
    (states, numbers(5, 6)),
    (arithmetic, [numbers(6), numbers(6)]),
    (slices, numbers(5, 6)),
    (matrices, [numbers(5, 6), numbers(6, 4)]),
    (shapes, numbers(5, 6)),
    (functions, numbers(6)),
    (merging, [numbers(6), numbers(6)]),
    (wrapped, numbers(5, 6)),
    (nested_twice, [numbers(6), numbers(6)]),
    (convolution, numbers(8, 8, 1)),
    (own_layer, numbers(6)),
]


@pytest.mark.parametrize(
    ("architecture", "data"), ARCHITECTURES, ids=[one.__name__ for one, _ in ARCHITECTURES]
)
def test_a_recorded_model_is_the_model_written_by_hand(architecture: Any, data: Any) -> None:
    recorded = architecture(layers, Input, Model, hpo.func())
    by_hand = architecture(keras.layers, keras.Input, keras.Model, lambda function: function)
    assert_same_model(build(recorded), by_hand, data)


@pytest.mark.parametrize(
    ("architecture", "data"), ARCHITECTURES, ids=[one.__name__ for one, _ in ARCHITECTURES]
)
def test_a_recorded_model_reaches_another_process_as_it_is(architecture: Any, data: Any) -> None:
    recorded = architecture(layers, Input, Model, hpo.func())
    twin = pickle.loads(cloudpickle.dumps(recorded))
    assert_same_model(build(twin), build(recorded), data)


def test_a_mask_changes_what_a_recorded_model_gives() -> None:
    """The control of ``masked``: the zeros are left out and not averaged in."""
    made = build(masked(layers, Input, Model, None))
    longer = np.concatenate([TOKENS[:2], np.zeros((2, 3), dtype=int)], axis=1)[:, :7]
    assert np.array_equal(predicted(made, longer)[0], predicted(made, TOKENS[:2])[0])
    lstm = next(one for one in made.layers if isinstance(one, keras.layers.LSTM))
    assert lstm.supports_masking
    assert any("NotEqual" in type(one).__name__ for one in made.operations)


# Two builds


def test_two_builds_share_no_layer_and_no_weights() -> None:
    real = keras.layers.Dense(4)
    a = Input(shape=(6,))
    bidirectional = layers.Bidirectional(layer=keras.layers.LSTM(2))
    outputs = [layers.Dense(units=3)(a), bidirectional(hpo.func()(keras.ops.expand_dims)(a, axis=-1))]
    models = [Model(inputs=a, outputs=outputs), Sequential([Input(shape=(6,)), real, layers.Dense(units=2)])]
    for model in models:
        first, second = build(model), build(model)
        ids = [{id(one) for one in made._flatten_layers()} for made in (first, second)]
        assert not ids[0] & ids[1]
        assert not {id(one) for one in first.weights} & {id(one) for one in second.weights}
        assert real not in itertools.chain(first.layers, second.layers)


def test_a_build_takes_the_values_that_it_is_given() -> None:
    a = Input(shape=(6,))
    x = layers.Dense(units=space.Int(2, 9), activation=space.Categorical("relu", "tanh"))(a)
    model = Model(inputs=a, outputs=layers.Dropout(rate=space.Real(0, 0.5, prefix="drop"))(x), name="found")
    made = build(model, **{"units": 7, "activation▁choice": "tanh", "drop:rate": 0.25})
    dense, dropout = made.layers[1:]
    assert (dense.units, dense.activation, dropout.rate) == (7, keras.activations.tanh, 0.25)
    assert made.name == "found"


def test_builds_of_other_values_have_other_weights() -> None:
    a = Input(shape=(6,))
    model = Model(inputs=a, outputs=layers.Dense(units=space.Int(2, 9))(a))
    counts = {build(model, units=n).count_params() for n in (2, 3, 9)}
    assert counts == {14, 21, 63}


# Spaces anywhere


def trials(model: Any, n_trials: int = 10) -> Iterator[tuple[dict[str, Any], Any]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=2))
    for _ in range(n_trials):
        trial = study.ask()
        made = build(model, TrialValues(trial))
        yield trial.params, made


def test_a_choice_of_layers_samples_the_branch_alone() -> None:
    model = Sequential([Input(shape=(5, 6))])
    model.add(
        space.Categorical(
            layers.LSTM(units=space.Int(2, 4)),
            layers.Conv1D(filters=space.Int(5, 7), kernel_size=2),
            prefix="p",
        )
    )
    seen = set()
    for params, made in trials(model):
        seen.add(frozenset(params))
        (layer,) = made.layers
        is_lstm = isinstance(layer, keras.layers.LSTM)
        assert params == {
            "p:layer▁choice": params["p:layer▁choice"],
            **({"p:layer▁0▁units": layer.units} if is_lstm else {"p:layer▁1▁filters": layer.filters}),
        }
    assert len(seen) == 2


def test_a_choice_of_layers_is_called_on_tensors_and_shared() -> None:
    a, b = Input(shape=(6,)), Input(shape=(6,))
    either = space.Categorical(
        layers.Dense(units=space.Int(4, 5)), layers.EinsumDense("bi,io->bo", output_shape=4)
    )
    model = Model(inputs=[a, b], outputs=layers.Concatenate()([either(a), either(b)]))
    assert names_in(model) == ["layer▁0▁units", "layer▁choice"]
    for params, made in trials(model, 5):
        assert len(made.layers) == 4
        assert ("layer▁0▁units" in params) == any(isinstance(one, keras.layers.Dense) for one in made.layers)


def test_two_choices_of_layers_under_one_name_give_two_layers() -> None:
    model = Sequential([Input(shape=(4,))])
    for upper in (5, 5, 6):
        model.add(space.Categorical(layers.Dense(units=space.Int(4, upper)), layers.Dropout(rate=0.1)))
    first, second, third = build(model).layers
    assert [one.units for one in (first, second, third)] == [4, 4, 4]
    assert len({first.name, second.name, third.name}) == 3


def test_a_choice_of_tensors_samples_the_branch_alone() -> None:
    a = Input(shape=(6,))
    narrow = layers.Dense(units=space.Int(1, 3, prefix="narrow"))(a)
    wide = layers.Dense(units=space.Int(10, 12, prefix="wide"))(layers.Dropout(rate=0.1)(a))
    model = Model(inputs=a, outputs=layers.Dense(units=2)(inputs=space.Categorical(narrow, wide)))
    seen = set()
    for params, made in trials(model):
        seen.add(frozenset(params))
        assert len(params) == 2
        assert len(made.layers) == (3 if "narrow:units" in params else 4)
    assert len(seen) == 2


def test_spaces_stand_in_functions_and_in_lists() -> None:
    a = Input(shape=(4, 6))
    x = layers.Reshape(target_shape=[space.Categorical(8, 12), -1])(a)
    x = hpo.func()(keras.ops.sum)(x, axis=space.Int(1, 2), keepdims=space.Bool(True))
    model = Model(inputs=a, outputs=x)
    assert names_in(model) == ["axis", "keepdims", "target_shape▁0▁choice"]
    assert build(model).output_shape == (None, 1, 3)
    other = {"target_shape▁0▁choice": 12, "axis": 2, "keepdims": False}
    assert build(model, **other).output_shape == (None, 12)


def test_spaces_of_an_inner_model_are_found_and_used() -> None:
    i = Input(shape=(6,))
    inner = Model(inputs=i, outputs=layers.Dense(units=space.Int(2, 4, prefix="inner"))(i))
    stack = Sequential([layers.Dense(units=space.Int(5, 6, prefix="stack"), input_shape=(6,))])
    a = Input(shape=(6,))
    model = Model(inputs=a, outputs=layers.Concatenate()([inner(a), stack(a), inner(a)]))
    assert names_in(model) == ["inner:units", "stack:units"]
    made = build(model, **{"inner:units": 4, "stack:units": 6})
    assert made.output_shape == (None, 14)
    assert len(made.weights) == 4
    twin = pickle.loads(cloudpickle.dumps(model))
    assert build(twin, **{"inner:units": 4, "stack:units": 6}).output_shape == (None, 14)


def test_models_in_a_sequential_model_are_built_with_it() -> None:
    i = Input(shape=(6,))
    inner = Model(inputs=i, outputs=layers.Dense(units=space.Int(2, 4))(i))
    model = Sequential([inner, Sequential([layers.Dense(units=3)]), layers.Dense(units=1)])
    made = build(model, units=3)
    by_hand = keras.Sequential(
        [
            keras.Sequential([keras.Input(shape=(6,)), keras.layers.Dense(3)]),
            keras.Sequential([keras.layers.Dense(3)]),
            keras.layers.Dense(1),
        ]
    )
    data = numbers(6)
    for one in (made, by_hand):
        one(data)
    by_hand.set_weights(made.get_weights())
    np.testing.assert_allclose(made(data), by_hand(data), rtol=1e-5)


def test_shared_names_are_told_for_layers_of_a_model() -> None:
    from bigdl.nano.automl.hpo.sharing import warn_of_shared_names

    a = Input(shape=(6,))
    x = layers.Dense(units=space.Int(2, 4))(layers.Dense(units=space.Int(5, 9))(a))
    with pytest.warns(SharedParameterWarning, match=r"counts for both.*: Int\(5, 9, prefix='dense_2'\)"):
        warn_of_shared_names(Model(inputs=a, outputs=x)._recipe)


# Objects of Keras that were made already


def test_real_layers_keep_their_weights_in_every_build() -> None:
    real = keras.layers.Dense(4)
    real(numbers(6))
    norm = keras.layers.BatchNormalization()
    norm(numbers(4), training=True)
    model = Sequential([Input(shape=(6,)), real, norm, layers.Dense(units=2)])
    for made in (build(model), build(model), build(pickle.loads(cloudpickle.dumps(model)))):
        for mine, theirs in zip(made.layers[:2], (real, norm), strict=True):
            assert mine is not theirs
            for one, other in zip(mine.get_weights(), theirs.get_weights(), strict=True):
                np.testing.assert_array_equal(one, other)


def test_what_is_done_to_a_layer_afterwards_does_not_matter() -> None:
    real = keras.layers.Dense(4)
    real(numbers(6))
    model = Sequential([Input(shape=(6,)), real])
    before = real.get_weights()
    real.set_weights([one + 1 for one in before])
    np.testing.assert_array_equal(build(model).get_weights()[0], before[0])


@pytest.mark.parametrize("fresh", [True, False])
def test_a_real_layer_beside_searchable_ones_has_no_name_twice(fresh: bool) -> None:
    keras.utils.clear_session()
    real = keras.layers.Dense(4)
    assert real.name == "dense"
    named = keras.layers.Dense(4, name="mine")
    if fresh:
        keras.utils.clear_session()
    a = Input(shape=(6,))
    in_row = Sequential([Input(shape=(6,)), layers.Dense(units=3), real, named])
    in_graph = Model(inputs=a, outputs=layers.TimeDistributed(real)(layers.Reshape(target_shape=(1, 6))(a)))
    assert [one.name for one in build(in_row).layers][2:] == ["mine"]
    build(in_graph)


def functional() -> Any:
    i = keras.Input(shape=(6,))
    return keras.Model(i, keras.layers.Dense(3)(keras.layers.BatchNormalization()(i)))


class WithLayers(keras.layers.Layer):
    """Its layers are built when it is called first; it has no ``build``."""

    def __init__(self, units: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.dense = keras.layers.Dense(units)

    def call(self, x: Any) -> Any:
        return self.dense(x)


def normalization() -> Any:
    layer = keras.layers.Normalization()
    layer.adapt(numbers(6) * 3 + 5)
    return layer


@pytest.mark.parametrize(
    "make",
    [
        functional,
        WithLayers,
        normalization,
        lambda: keras.Sequential([normalization(), keras.layers.Dense(2)]),
        lambda: keras.Sequential([keras.layers.Dense(3), keras.layers.ReLU()]),
        lambda: keras.layers.Lambda(lambda x: x * 2),
    ],
)
def test_whatever_was_made_gives_what_it_gave(make: Any) -> None:
    real, data = make(), numbers(6)
    expected = np.asarray(real(data))
    model = Sequential([Input(shape=(6,)), real])
    for made in (build(model), build(pickle.loads(cloudpickle.dumps(model)))):
        np.testing.assert_allclose(made(data), expected, rtol=1e-5, atol=1e-6)


def test_a_vocabulary_that_was_learnt_is_kept() -> None:
    lookup = keras.layers.StringLookup()
    lookup.adapt(["a", "b", "c"])
    words = np.array([["b"], ["z"]])
    (made,) = [KerasBuild(DefaultValues()).resolve(kept([lookup])) for _ in range(1)]
    np.testing.assert_array_equal(made[0](words), lookup(words))


def test_trainable_stays_as_it_was_set() -> None:
    real = functional()
    real.layers[-1].trainable = False
    made = build(Sequential([Input(shape=(6,)), real]))
    assert [one.trainable for one in made.layers[0].layers] == [one.trainable for one in real.layers]
    assert len(made.trainable_weights) == len(real.trainable_weights)


class Weighted(keras.losses.Loss):
    """A loss as people write them: no ``get_config``."""

    def __init__(self, by: float = 1.0, name: str = "weighted") -> None:
        super().__init__(name=name)
        self.by = by

    def call(self, y: Any, p: Any) -> Any:
        return self.by * keras.ops.mean(keras.ops.square(y - p), axis=-1)


class OfClasses(keras.losses.Loss):
    """Its configuration makes one, but without the array: it has no ``get_config`` of its own."""

    def __init__(self, shares: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shares = np.ones(2) if shares is None else shares


class Counted(keras.metrics.Metric):
    """A metric as people write them: no ``get_config``."""

    def __init__(self, by: float = 1.0) -> None:
        super().__init__(name="counted")
        self.by = by
        self.sum = self.add_variable((), "zeros", name="sum")

    def update_state(self, y: Any, p: Any, sample_weight: Any = None) -> None:
        self.sum.assign_add(self.by)

    def result(self) -> Any:
        return self.sum


class Ramp(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, first: float = 1.0) -> None:
        self.first = first

    def __call__(self, step: Any) -> Any:
        return self.first


@pytest.mark.parametrize(
    ("make", "read"),
    [
        (lambda: Weighted(by=0.5), lambda one: one.by),
        (lambda: OfClasses(np.array([0.2, 0.8])), lambda one: one.shares.tolist()),
        (lambda: Counted(by=0.5), lambda one: one.by),
        (lambda: Ramp(first=0.5), lambda one: one.first),
        (lambda: keras.losses.Huber(delta=0.5), lambda one: one(np.zeros((1, 1)), np.ones((1, 1))).numpy()),
        (lambda: keras.metrics.MeanIoU(num_classes=3), lambda one: one.num_classes),
        (lambda: keras.metrics.AUC(num_thresholds=7), lambda one: one.num_thresholds),
        (lambda: keras.metrics.CosineSimilarity(axis=1), lambda one: one._fn_kwargs["axis"]),
        (
            lambda: keras.optimizers.SGD(0.5, momentum=0.9),
            lambda one: (float(one.learning_rate), one.momentum),
        ),
        (lambda: keras.regularizers.L2(0.5), lambda one: float(one.l2)),
        (lambda: keras.initializers.RandomNormal(stddev=0.5), lambda one: one.stddev),
        (lambda: keras.constraints.MaxNorm(0.5), lambda one: one.max_value),
    ],
)
def test_losses_metrics_and_the_like_keep_their_arguments(make: Any, read: Any) -> None:
    one = make()
    for lazy in (kept(one), pickle.loads(cloudpickle.dumps(kept(one)))):
        first, second = (KerasBuild(DefaultValues()).resolve(lazy) for _ in range(2))
        assert type(first).__name__ == type(one).__name__
        assert read(first) == read(second) == read(one)
        assert first is not second
        assert first is not one


def test_a_metric_begins_anew_in_every_build() -> None:
    lazy = kept(Counted(by=2.0))
    for _ in range(2):
        metric = KerasBuild(DefaultValues()).resolve(lazy)
        metric.update_state(0, 0)
        assert float(metric.result()) == 2.0


class NeedsFunction(keras.layers.Layer):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function


def test_what_tells_too_little_about_itself_is_refused_in_one_line() -> None:
    with pytest.raises(TypeError) as raised:
        Sequential([NeedsFunction(lambda x: x)])
    text = str(raised.value)
    assert text.startswith(
        "NeedsFunction: an object that was made already cannot be made anew for each trial ("
    )
    assert text.endswith("or make it searchable: hpo.obj()(NeedsFunction)(...).")
    assert "\n" not in text
    with pytest.raises(
        TypeError, match=r"^Adam: .* \(Learning rate schedule 'Ramp' must override `get_config"
    ):
        kept(keras.optimizers.Adam(Ramp()))
    searchable: Any = hpo.obj()(NeedsFunction)
    build(Sequential([searchable(lambda x: x)]))


# Inputs


def test_an_input_that_is_not_used_is_said() -> None:
    a, b = Input(shape=(6,), name="a"), Input(shape=(4,), name="b")
    x = layers.Dense(units=2)(a)
    with pytest.warns(
        UserWarning, match=r"do not depend on Input\(shape=\(4,\), name='b'\): this input is ignored"
    ):
        Model(inputs=[a, b], outputs=x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Model(inputs=a, outputs=x)


def test_an_input_that_is_not_declared_is_refused() -> None:
    a, b = Input(shape=(6,), name="a"), Input(shape=(4,), name="b")
    with pytest.raises(
        ValueError, match=r"depend on Input\(shape=\(4,\), name='b'\), which is not among the inputs"
    ):
        Model(inputs=a, outputs=layers.Concatenate()([a, b]))


def test_an_input_that_only_a_layer_s_arguments_ask_for_is_seen() -> None:
    a, b = Input(shape=(6,), name="a"), Input(shape=(4,), name="b")
    dense = layers.Dense(units=b.shape[-1])
    with pytest.raises(ValueError, match=r"depend on Input\(shape=\(4,\), name='b'\)"):
        Model(inputs=a, outputs=dense(a))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: Model(inputs=Input(shape=(3,)), outputs=3),
            "outputs is 3; it must hold what searchable layers",
        ),
        (
            lambda: Model(inputs=3, outputs=Input(shape=(3,))),
            r"inputs holds no tensor of bigdl\.nano\.tf\.keras",
        ),
        (lambda: Input(shap=(3,)), "^Input: got an unexpected keyword argument 'shap'"),
        (lambda: layers.Dense(), "^Dense: missing a required argument: 'units'"),
        (
            lambda: layers.Dense(units=2)(numbers(6)),
            "is called on ndarray; a searchable layer is called on what",
        ),
        (lambda: layers.Dense(units=2)(), "is called on nothing"),
    ],
)
def test_what_makes_no_graph_is_refused(make: Any, text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=text):
        make()


@pytest.mark.parametrize(
    "call",
    [
        lambda x: tf.exp(x),
        lambda x: tf.concat([x, x], axis=1),
        lambda x: tf.constant(1.0) + tf.square(x),
        lambda x: np.exp(x),
        lambda x: np.ones(6) @ x,
        lambda x: keras.ops.exp(x),
        lambda x: keras.activations.relu(x),
        lambda x: keras.layers.Dense(2)(x),
        lambda x: keras.layers.Concatenate()([x, x]),
        lambda x: keras.layers.MultiHeadAttention(2, 3)(query=x, value=x),
        lambda x: keras.Sequential([keras.layers.Dense(2)])(x),
    ],
)
def test_ordinary_functions_and_layers_refuse_recorded_tensors_and_say_what_to_do(call: Any) -> None:
    with pytest.raises(TypeError, match=r"Import layers from bigdl\.nano\.tf\.keras") as raised:
        call(Input(shape=(6,)))
    who = "numpy" if "np" in call.__code__.co_names else "TensorFlow"
    assert str(raised.value).startswith(f"A recorded tensor reached {who} or an ordinary Keras layer.")


def test_a_recorded_tensor_is_no_condition_and_is_not_iterated() -> None:
    x = Input(shape=(6,))
    with pytest.raises(TypeError, match=r"cannot be the condition of an if or a while; .*@hpo\.func"):
        _ = 1 if x else 2
    with pytest.raises(TypeError, match="is one value: it cannot be unpacked or iterated"):
        _ = [row for row in x]  # noqa: C416
    n_rows, width = x.shape
    assert repr(n_rows).startswith("<recorded tensor")
    assert KerasBuild(DefaultValues()).resolve(width) == 6


# Depth


def test_a_deep_graph_is_pickled_and_built() -> None:
    a = x = Input(shape=(4,))
    for _ in range(N_CALLS):
        x = layers.Identity()(x)
    limit = sys.getrecursionlimit()
    twin = pickle.loads(cloudpickle.dumps(Model(inputs=a, outputs=x)))
    made = build(twin)
    assert len(made.layers) == N_CALLS + 1
    assert sys.getrecursionlimit() == limit


# Functions of TensorFlow become layers


def tensorflow_functions(a: Any, func: Any, cast: Any) -> Any:
    x = cast(a, tf.float32) * 2.0
    x = func(tf.concat)([x, func(tf.nn.relu)(x)], axis=-1)
    return func(tf.clip_by_value)(x, clip_value_min=-1.0, clip_value_max=2.0)


def test_functions_of_tensorflow_give_what_they_give() -> None:
    a = Input(shape=(6,), dtype="int32")
    model = build(Model(inputs=a, outputs=tensorflow_functions(a, hpo.func(), cast)))
    data = np.arange(-6, 12).reshape(3, 6)
    expected = tensorflow_functions(tf.constant(data), lambda one: one, tf.cast)
    np.testing.assert_array_equal(model(data), expected)


def test_a_function_gets_its_tensors_as_they_are() -> None:
    a = Input(shape=(6,), dtype="float64")
    made = build(Model(inputs=a, outputs=hpo.func()(tf.identity)(a)))
    assert made.output.dtype == "float64"
    assert made(numbers(6).astype("float64")).dtype == tf.float64


def test_a_function_of_one_s_own_that_calls_tensorflow_becomes_a_layer() -> None:
    @hpo.func()
    def shifted(x: Any, by: float = 0.0) -> Any:
        return tf.roll(x, 1, axis=1) + by

    a = Input(shape=(6,))
    model = Model(inputs=a, outputs=shifted(a, by=space.Real(1, 2)))
    made, data = build(model, by=1.5), numbers(6)
    np.testing.assert_allclose(made(data), np.roll(data, 1, axis=1) + 1.5)
    assert [type(one) for one in made.layers][1:] == [FunctionLayer]


def test_a_model_with_functions_is_saved_and_loaded(tmp_path: Path) -> None:
    a = Input(shape=(6,), dtype="int32")
    x = layers.Dense(units=3)(tensorflow_functions(a, hpo.func(), cast))
    made = build(Model(inputs=a, outputs=hpo.func()(tf.where)(x > 0, x, 0.1 * x)))
    data = np.arange(-6, 12).reshape(3, 6).astype("int32")
    made.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(loaded(data), made(data), rtol=1e-6)
    loaded.save(tmp_path / "again.keras")
    again = keras.models.load_model(tmp_path / "again.keras")
    np.testing.assert_allclose(again(data), made(data), rtol=1e-6)


def half(x: Any) -> Any:
    return tf.math.divide(x, 2.0)


def test_a_file_that_names_a_function_of_one_s_own_is_loaded_when_it_is_trusted(tmp_path: Path) -> None:
    a = Input(shape=(6,))
    made = build(Model(inputs=a, outputs=hpo.func()(half)(a)))
    made.save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match=r"calls .*:half, which may do anything.*safe_mode=False"):
        keras.models.load_model(tmp_path / "m.keras")
    loaded, data = keras.models.load_model(tmp_path / "m.keras", safe_mode=False), numbers(6)
    np.testing.assert_allclose(loaded(data), data / 2)


@pytest.mark.parametrize(
    "name",
    ["os:system", "tensorflow:io.gfile.rmtree", "tensorflow:io.write_file", "tensorflow:load_op_library",
     "tensorflow.python.ops.array_ops:np.load", "tensorflow:py_function"],
)  # fmt: skip
def test_a_file_cannot_make_us_call_what_it_likes(name: str, tmp_path: Path) -> None:
    layer = FunctionLayer(tf.identity, {"args": [str(tmp_path)], "kwargs": {}})
    config = {**layer.get_config(), "function": name}
    with pytest.raises(ValueError, match="which may do anything"):
        FunctionLayer.from_config(config)
    assert tmp_path.exists()


def test_a_local_function_cannot_be_saved_and_that_is_said(tmp_path: Path) -> None:
    a = Input(shape=(6,))
    made = build(Model(inputs=a, outputs=hpo.func()(lambda x: tf.exp(x))(a)))
    with pytest.raises(
        ValueError, match=r"The model cannot be saved whole: function .*<lambda>.* save the weights"
    ):
        made.save(tmp_path / "m.keras")


LOAD = """
import sys, numpy as np, keras
import bigdl.nano.automl.tf.function_layer
print(np.asarray(keras.models.load_model(sys.argv[1])(np.arange(6.0).reshape(1, 6))).tolist())
"""


def test_a_saved_model_is_loaded_in_another_process(tmp_path: Path) -> None:
    a = Input(shape=(6,))
    build(Model(inputs=a, outputs=hpo.func()(tf.math.reduce_max)(a, axis=-1))).save(tmp_path / "m.keras")
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path / "m.keras")],
        cwd=ROOM,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[5.0]"


# Sequential models


def test_the_input_shape_of_the_first_layer_becomes_an_input() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = build(Sequential([layers.Flatten(input_shape=(4, 2)), layers.Dense(units=3)]))
    assert made.input_shape == (None, 4, 2)
    assert made.output_shape == (None, 3)


def test_a_sequential_model_is_that_written_by_hand() -> None:
    def written(L: Any, Input: Any, Sequential: Any) -> Any:
        model = Sequential([Input(shape=(8, 8, 1)), L.Conv2D(filters=2, kernel_size=3)], name="row")
        model.add(L.BatchNormalization())
        model.add(L.Flatten())
        model.add(L.Dense(units=3, activation="softmax"))
        return model

    made = build(written(layers, Input, Sequential))
    assert made.name == "row"
    assert_same_model(made, written(keras.layers, keras.Input, keras.Sequential), numbers(8, 8, 1))


def test_pickling_a_recipe_takes_the_weights_of_real_layers_along() -> None:
    real = functional()
    model = Sequential([real, layers.Dense(units=space.Int(2, 3))])
    twin = pickle.loads(cloudpickle.dumps(model))
    for one, other in zip(build(twin).layers[0].get_weights(), real.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_real_model_is_called_on_recorded_tensors_as_a_function() -> None:
    real, a = functional(), Input(shape=(6,))
    base = hpo.func()(real)
    model = Model(inputs=a, outputs=layers.Dense(units=2)(base(a) + base(a, training=False)))
    first, second = build(model), build(model)
    (one,), (other,) = ([x for x in made.layers if isinstance(x, keras.Model)] for made in (first, second))
    assert len({id(one), id(other), id(real)}) == 3
    np.testing.assert_array_equal(one.get_weights()[-2], real.get_weights()[-2])


def test_copies_of_losses_and_metrics_train() -> None:
    lazy = kept(
        {"loss": Weighted(by=0.5), "metrics": [Counted(), keras.metrics.AUC(), "mae"], "optimizer": "sgd"}
    )
    model = keras.Sequential([keras.layers.Dense(1, activation="sigmoid")])
    model.compile(**KerasBuild(DefaultValues()).resolve(pickle.loads(cloudpickle.dumps(lazy))))
    history = model.fit(numbers(6), np.array([0.0, 1.0, 1.0]), verbose=0, epochs=2, batch_size=1).history
    assert history["counted"] == [3.0, 3.0]
