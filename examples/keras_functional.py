"""Which of two handwritten digits is larger, and what is their sum? A functional Keras model, searched.

    python examples/keras_functional.py
    python examples/keras_functional.py --n-trials 40 --n-parallels 2

What to see here:

- Layers that are used twice, once for each picture: in every trial each is one layer with one set of weights.
- A `Categorical` of two different layers, each with search spaces of its own. A trial has the parameters of
  the layer that it chose, and no others.
- Two outputs, each with a loss and a metric; the search goes by one of them.
- A `prefix`, which parts the parameters of two layers that are both called `units`.

It takes half a minute. TensorFlow and scikit-learn: pip install -e ".[tensorflow,examples]"
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits

from bigdl.nano.automl import hpo_config
from bigdl.nano.automl.hpo import space
from bigdl.nano.automl.tf.keras import Model
from bigdl.nano.tf import keras, optimizers
from bigdl.nano.tf.keras import layers

hpo_config.enable_hpo_tf()  # from here on, layers and optimizers take search spaces


def main() -> None:
    arguments = read_arguments()
    x, y = draw_pairs(slice(0, 1400), n_pairs=3000)
    model = define_model()
    model.search(
        n_trials=arguments.n_trials,
        n_parallels=arguments.n_parallels,
        target_metric="larger_accuracy",  # as Keras names it: output, metric
        direction="maximize",
        x=x,
        y=y,
        validation_split=0.2,
        batch_size=64,
        epochs=2,
    )
    study = model.search_summary()  # an Optuna study
    print(f"\nBest of {len(study.trials)} trials, {study.best_value:.1%} of the validation pairs right:")
    for name, value in study.best_params.items():
        print(f"    {name.replace(space.SPLITTER, ' ')} = {value}")

    model.fit(x, y, batch_size=64, epochs=6, verbose=0)
    unseen = draw_pairs(slice(1400, None), n_pairs=1000)
    result = model.evaluate(*unseen, verbose=0, return_dict=True)
    print(f"Test accuracy: {result['larger_accuracy']:.1%}, on digits that were never seen.")
    print(f"Their sum is missed by {result['total_mae']:.1f} on average; always saying 9 misses by 3.3.")


def define_model() -> Model:
    """Two pictures of eight rows in; whether the left digit is larger, and the sum of both, out."""
    left, right = keras.Input(shape=(8, 8), name="left"), keras.Input(shape=(8, 8), name="right")
    read_rows = space.Categorical(
        layers.Conv1D(filters=space.Int(8, 32), kernel_size=3, activation="relu"),  # three rows at a time
        layers.GRU(units=space.Int(8, 32), return_sequences=True),  # row by row, and it remembers
        prefix="rows",
    )
    flatten = layers.Flatten()
    encode = layers.Dense(units=space.Int(16, 64, log=True), activation="relu")
    both = layers.Concatenate()([encode(flatten(read_rows(picture))) for picture in (left, right)])
    both = layers.Dense(units=space.Int(16, 64, log=True, prefix="both"), activation="relu")(both)
    larger = layers.Dense(1, activation="sigmoid", name="larger")(both)
    total = layers.Dense(1, name="total")(both)
    model = Model(inputs=[left, right], outputs=[larger, total], name="pairs")
    model.compile(
        optimizer=optimizers.Adam(learning_rate=space.Real(1e-3, 1e-2, log=True)),
        loss={"larger": "binary_crossentropy", "total": "mse"},
        loss_weights={"larger": 1.0, "total": 0.1},
        metrics={"larger": ["accuracy"], "total": ["mae"]},
    )
    return model


def draw_pairs(which: slice, n_pairs: int):
    """Pairs of some of the digits, drawn by chance: what the model takes, and what it should say."""
    digits = load_digits()
    images, numbers = digits.images[which] / 16.0, digits.target[which]
    left, right = np.random.default_rng(0).integers(len(images), size=(2, n_pairs))
    x = {"left": images[left], "right": images[right]}
    y = {
        "larger": (numbers[left] > numbers[right]).astype("float32"),
        "total": (numbers[left] + numbers[right]).astype("float32"),
    }
    return x, y


def read_arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--n-trials", type=int, default=6, metavar="N", help="models to try (6)")
    parser.add_argument("--n-parallels", type=int, default=1, metavar="N", help="processes that try them (1)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
