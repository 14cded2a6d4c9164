"""Small searchable Keras models over the digits, for the tests of searches."""

from __future__ import annotations

from typing import Any

import numpy as np

import bigdl.nano.automl.hpo.space as space
from bigdl.nano.automl import hpo_config


def digits(n: int | None = None) -> tuple[Any, Any]:
    """Images of 64 numbers between 0 and 1, and their digits."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return (data.data / 16).astype("float32")[:n], data.target[:n]


def dense(
    units: Any = None, learning_rate: Any = None, metrics: Any = ("accuracy",), seeded: bool = False
) -> Any:
    """A compiled searchable Sequential: one hidden layer."""
    hpo_config.enable_hpo_tf()
    import keras

    from bigdl.nano.automl.tf.keras import Sequential
    from bigdl.nano.tf.keras.layers import Dense
    from bigdl.nano.tf.optimizers import Adam

    units = space.Int(4, 32) if units is None else units
    learning_rate = space.Real(1e-3, 1e-1, log=True) if learning_rate is None else learning_rate
    start = {"kernel_initializer": keras.initializers.GlorotUniform(seed=1)} if seeded else {}
    model = Sequential(
        [keras.Input(shape=(64,)), Dense(units=units, activation="relu", **start), Dense(10, **start)]
    )
    model.compile(
        optimizer=Adam(learning_rate=learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=list(metrics) or None,
    )
    return model


def searched(model: Any, n_trials: int = 2, **kwargs: Any) -> Any:
    """The study after a short search over 300 digits; validation on the last fifth."""
    x, y = digits(300)
    given = {"x": x, "y": y, "epochs": 2, "batch_size": 64, "validation_split": 0.2, "draw": "none"}
    given |= {"show_progress_bar": False, **kwargs}
    model.search(n_trials=n_trials, **{key: value for key, value in given.items() if value is not None})
    return model.search_summary()


def as_memmap(array: Any, path: Any) -> Any:
    """The array as the workers have it: mapped from a file, copy on write."""
    array.tofile(path)
    return np.asarray(np.memmap(path, dtype=array.dtype, mode="c", shape=array.shape))
