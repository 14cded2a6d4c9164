"""The data of ``fit`` behave as Keras has them, split beforehand and mapped from files or not."""

import gc

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from bigdl.nano.automl.tf.data import FitData
from tests.bigdl.keras_models import as_memmap, digits


def trained(arguments, **fit):
    """The history and weights of a small model after two epochs, always from the same start."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input(shape=(64,)), keras.layers.Dense(10)])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    history = model.fit(**arguments, epochs=2, batch_size=32, verbose=0, **fit).history
    return history, model.get_weights()


def assert_same(one, other):
    assert one[0].keys() == other[0].keys()
    for name in one[0]:
        assert one[0][name] == pytest.approx(other[0][name])
    for mine, theirs in zip(one[1], other[1], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5)


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("more", ["", "weights", "split", "split and weights", "validation"])
def test_training_is_what_keras_does_with_the_arrays(kind, more):
    x, y = digits(203)
    given = {"x": x.astype(kind), "y": y}
    if "weights" in more:
        given["sample_weight"] = np.linspace(0, 1, len(y))
    if "split" in more:
        given["validation_split"] = 0.23
    if more == "validation":
        given["validation_data"] = (x[:50].astype(kind), y[:50])
    assert_same(trained(FitData.of(given).arguments()), trained(given))


@pytest.mark.parametrize("shuffle", [True, False])
def test_training_on_mapped_arrays_is_what_keras_does_with_the_arrays(tmp_path, shuffle):
    x, y = digits()
    x, y = np.repeat(x, 3, axis=0), np.repeat(y, 3)
    data = FitData({"x": as_memmap(x, tmp_path / "x"), "y": y})
    assert isinstance(data.arguments()["x"], tf.Tensor)
    assert_same(trained(data.arguments(), shuffle=shuffle), trained({"x": x, "y": y}, shuffle=shuffle))


def test_a_mapped_array_reaches_tensorflow_without_a_copy(tmp_path):
    array = as_memmap(np.ones((1024, 1024), dtype="float32"), tmp_path / "x")
    tensor = FitData({"x": array}).arguments()["x"]
    array[0, 0] = 7.0
    assert float(tensor[0, 0]) == 7.0
    del array
    gc.collect()
    assert float(tensor[1, 1]) == 1.0


@pytest.mark.parametrize("what", ["small", "strided", "bool", "read only", "unaligned"])
def test_arrays_that_cannot_be_taken_over_stay_arrays(tmp_path, what):
    array = as_memmap(np.ones((1024, 1025), dtype="bool" if what == "bool" else "float32"), tmp_path / "x")
    if what == "read only":
        array.flags.writeable = False
    given = {"small": array[:2], "strided": array[:, ::2], "unaligned": array[1:]}.get(what, array)
    assert FitData({"x": given}).arguments()["x"] is given


def test_floating_point_numbers_are_converted_once_for_all_trials():
    x = np.ones((4, 2))
    data = FitData.of({"x": [x, {"b": x}], "y": np.ones(4, dtype="int64")})
    assert data.given["x"][0].dtype == data.given["x"][1]["b"].dtype == "float32"
    assert data.given["y"].dtype == "int64"


def test_tensors_become_arrays_that_can_travel():
    data = FitData.of({"x": tf.ones((4, 2)), "y": tf.zeros(4)})
    assert all(isinstance(data.given[name], np.ndarray) for name in ("x", "y"))


def test_a_split_that_leaves_nothing_is_refused():
    with pytest.raises(ValueError, match=r"validation_split is 0.99: of 3 samples"):
        FitData.of({"x": np.ones((3, 2)), "y": np.ones(3), "validation_split": 0.99})


def test_a_function_gives_every_trial_a_dataset_of_its_own():
    x, y = digits(64)
    data = FitData.of({"x": lambda: tf.data.Dataset.from_tensor_slices((x, y)).batch(16)})
    assert data.arguments()["x"] is not data.arguments()["x"]
    both = FitData.of({"x": data.given["x"], "validation_data": data.given["x"]})
    assert both.has_validation
    assert isinstance(both.arguments()["validation_data"], tf.data.Dataset)
    assert data.unsendable() is None
    assert "accuracy" in trained_on_dataset(data)


def trained_on_dataset(data):
    model = keras.Sequential([keras.Input(shape=(64,)), keras.layers.Dense(10)])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    model.evaluate(**data.sample(), verbose=0)
    return model.fit(**data.arguments(), verbose=0).history


def test_datasets_and_generators_cannot_be_sent():
    dataset = tf.data.Dataset.range(3)
    assert FitData.of({"x": dataset}).unsendable() == "x is a tf.data.Dataset"
    assert FitData.of({"x": iter([1])}).unsendable() == "x is a generator"
    assert FitData.of({"x": np.ones(3), "validation_data": dataset}).unsendable() is not None


def test_a_sample_is_one_row_of_everything_and_uses_nothing_up():
    data = FitData.of(
        {"x": [np.ones((4, 2)), np.ones((4, 3))], "y": np.arange(4), "sample_weight": np.ones(4)}
    )
    sample = data.sample()
    assert [part.shape for part in sample["x"]] == [(1, 2), (1, 3)]
    assert sample["y"].shape == sample["sample_weight"].shape == (1,)
    assert FitData.of({"x": iter([1])}).sample() is None


@pytest.mark.parametrize("kind", ["series", "frame", "mixed"])
def test_tables_of_pandas_are_split_and_trained_on_as_keras_does(kind):
    x, y = digits(120)
    frame, column = pd.DataFrame(x), pd.Series(y)
    given = {
        "series": {"x": x, "y": column},
        "frame": {"x": frame, "y": y},
        "mixed": {"x": frame, "y": column, "sample_weight": np.ones(len(y))},
    }[kind]
    given["validation_split"] = 0.25
    data = FitData.of(given)
    assert data.sample() is not None
    assert_same(trained(data.arguments()), trained(given))


def test_tensors_of_text_travel_as_text():
    data = FitData.of({"x": tf.constant([["ein"], ["zw\u00f6lf"]]), "y": np.ones(2)})
    assert data.given["x"].tolist() == [["ein"], ["zw\u00f6lf"]]


def test_ragged_tensors_stay_here():
    data = FitData.of({"x": tf.ragged.constant([[1, 2], [3]]), "y": np.ones(2), "validation_split": 0.5})
    assert data.unsendable() == "x is a ragged tensor"
    assert isinstance(data.arguments()["x"], tf.RaggedTensor)
    assert data.sample() is None
