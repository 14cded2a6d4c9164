"""What does the lazy layer cost? Building a trial's model through it against writing it by hand.

Two models, in turns: a convolutional Sequential and a functional one with a shared layer and two outputs. The
lazy way draws its parameters from a trial whose values are fixed, so both build the very same model. Medians
of the CPU seconds of the process, as a shared machine's wall clock says little.

    python benchmarks/bench_building_a_model.py [--rounds N]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import keras
import optuna

import bigdl.nano.automl.hpo.space as space
from bigdl.nano.automl import hpo_config

hpo_config.enable_hpo_tf()

from bigdl.nano.automl.hpo.values import TrialValues  # noqa: E402
from bigdl.nano.automl.tf.build import KerasBuild  # noqa: E402
from bigdl.nano.automl.tf.keras import Model, Sequential  # noqa: E402
from bigdl.nano.tf.keras import Input, layers  # noqa: E402
from bigdl.nano.tf.optimizers import Adam  # noqa: E402

PARAMS = {
    "first:filters": 32,
    "second:filters": 64,
    "dense:units": 64,
    "shared:units": 64,
    "rate": 0.25,
    "learning_rate": 1e-3,
}
COMPILE = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}


def convolutional_by_hand() -> Any:
    model = keras.Sequential(
        [
            keras.Input(shape=(28, 28, 1)),
            keras.layers.Conv2D(filters=32, kernel_size=3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(filters=64, kernel_size=3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dropout(rate=0.25),
            keras.layers.Dense(units=64, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(learning_rate=1e-3), **COMPILE)
    return model


def lazy_convolutional() -> Any:
    model = Sequential()
    model.add(layers.InputLayer(shape=(28, 28, 1)))
    model.add(layers.Conv2D(filters=space.Int(8, 64, prefix="first"), kernel_size=3, activation="relu"))
    model.add(layers.MaxPooling2D())
    model.add(layers.Conv2D(filters=space.Int(8, 64, prefix="second"), kernel_size=3, activation="relu"))
    model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dropout(rate=space.Real(0.1, 0.5)))
    model.add(layers.Dense(units=space.Int(16, 128, prefix="dense"), activation="relu"))
    model.add(layers.Dense(10, activation="softmax"))
    return model


def functional_by_hand() -> Any:
    left, right = keras.Input(shape=(64,)), keras.Input(shape=(64,))
    shared = keras.layers.Dense(units=64, activation="relu")
    x = keras.layers.concatenate([shared(left), shared(right) * 0.5])
    x = keras.layers.Dropout(rate=0.25)(x)
    x = keras.layers.Dense(units=64, activation="relu")(x)
    outputs = [
        keras.layers.Dense(10, activation="softmax")(x),
        keras.layers.Dense(2, activation="softmax")(x),
    ]
    model = keras.Model(inputs=[left, right], outputs=outputs)
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=1e-3),
        loss=[COMPILE["loss"]] * 2,
        metrics=[["accuracy"]] * 2,
    )
    return model


def lazy_functional() -> Any:
    left, right = Input(shape=(64,)), Input(shape=(64,))
    shared = layers.Dense(units=space.Int(16, 128, prefix="shared"), activation="relu")
    x = layers.concatenate([shared(left), shared(right) * 0.5])
    x = layers.Dropout(rate=space.Real(0.1, 0.5))(x)
    x = layers.Dense(units=space.Int(16, 128, prefix="dense"), activation="relu")(x)
    outputs = [layers.Dense(10, activation="softmax")(x), layers.Dense(2, activation="softmax")(x)]
    return Model(inputs=[left, right], outputs=outputs)


def builder_of(model: Any) -> Callable[[], Any]:
    """What a trial does: draw the parameters, build, compile."""
    n_outputs = 2 if isinstance(model, Model) else 1
    compiling = {
        "optimizer": Adam(learning_rate=space.Real(1e-4, 1e-2, log=True)),
        "loss": [COMPILE["loss"]] * 2 if n_outputs == 2 else COMPILE["loss"],
        "metrics": [["accuracy"]] * 2 if n_outputs == 2 else ["accuracy"],
    }

    def build() -> Any:
        build = KerasBuild(TrialValues(optuna.trial.FixedTrial(PARAMS)))
        made = build.resolve(model)
        made.compile(**{**compiling, "optimizer": build.resolve(compiling["optimizer"])})
        return made

    return build


def cpu_seconds(build: Callable[[], Any]) -> float:
    keras.utils.clear_session()
    start_s = time.process_time()
    build()
    return time.process_time() - start_s


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    pairs = {
        "Sequential": (convolutional_by_hand, builder_of(lazy_convolutional())),
        "functional": (functional_by_hand, builder_of(lazy_functional())),
    }
    for name, (by_hand, lazy) in pairs.items():
        assert by_hand().count_params() == lazy().count_params()
        spent: dict[str, list[float]] = {"hand": [], "lazy": []}
        for _ in range(options.rounds):
            spent["hand"].append(cpu_seconds(by_hand))
            spent["lazy"].append(cpu_seconds(lazy))
        hand_s, lazy_s = (statistics.median(spent[way]) for way in ("hand", "lazy"))
        print(
            f"{name:10}  by hand {hand_s * 1e3:6.1f} ms  lazy {lazy_s * 1e3:6.1f} ms  "
            f"ratio {lazy_s / hand_s:.3f}"
        )


if __name__ == "__main__":
    main()
