"""Which small convolutional network reads handwritten digits best? A Keras Sequential model, searched.

    python examples/keras_sequential.py
    python examples/keras_sequential.py --n-trials 40 --n-parallels 2

A search space stands where a value would: in the arguments of a layer, of the optimizer, of `fit`. Each trial
builds the model with values of its own, trains it on 1,077 of the 1,797 digits that scikit-learn ships, and
is judged by 360 others. Then the best one is trained for longer, and judged by 360 that no trial has seen.

It takes half a minute. TensorFlow and scikit-learn: pip install -e ".[tensorflow,examples]"
"""

import argparse

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from bigdl.nano.automl import hpo_config
from bigdl.nano.automl.hpo import space
from bigdl.nano.automl.tf.keras import Sequential
from bigdl.nano.tf import optimizers
from bigdl.nano.tf.keras import layers

hpo_config.enable_hpo_tf()  # from here on, layers and optimizers take search spaces


def main() -> None:
    arguments = read_arguments()
    (x, y), validation, test = load_three_parts()
    model = define_model()
    model.search(
        n_trials=arguments.n_trials,
        n_parallels=arguments.n_parallels,
        target_metric="accuracy",
        direction="maximize",
        x=x,
        y=y,
        validation_data=validation,  # with it, what counts is the accuracy on it
        batch_size=space.Categorical(32, 64, 128),
        epochs=4,
    )
    study = model.search_summary()  # an Optuna study
    print(f"\nBest of {len(study.trials)} trials, {study.best_value:.1%} of the validation digits right:")
    for name, value in study.best_params.items():
        print(f"    {name.removesuffix(space.SPLITTER + 'choice')} = {value}")

    model.fit(x, y, epochs=10, verbose=0)  # a new model with the best parameters, and their batch size
    result = model.evaluate(*test, verbose=0, return_dict=True)
    print(f"Test accuracy: {result['accuracy']:.1%}")


def define_model() -> Sequential:
    """A convolution, and what follows. Spaces are given by keyword: it names the parameter."""
    model = Sequential()
    model.add(
        layers.Conv2D(
            filters=space.Int(8, 32, step=8),
            kernel_size=space.Categorical(3, 5),
            activation=space.Categorical("relu", "tanh"),
            input_shape=(8, 8, 1),
        )
    )
    model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dropout(rate=space.Real(0.0, 0.5)))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(
        optimizer=optimizers.Adam(learning_rate=space.Real(1e-3, 1e-1, log=True)),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def load_three_parts():
    """Images (n, 8, 8, 1) of values 0 to 1, and their digits: for training, for validation, for the end."""
    digits = load_digits()
    x, y = digits.images[..., None] / 16.0, digits.target
    x, x_test, y, y_test = train_test_split(x, y, test_size=360, random_state=0)
    x, x_valid, y, y_valid = train_test_split(x, y, test_size=360, random_state=0)
    return (x, y), (x_valid, y_valid), (x_test, y_test)


def read_arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--n-trials", type=int, default=8, metavar="N", help="models to try (8)")
    parser.add_argument("--n-parallels", type=int, default=1, metavar="N", help="processes that try them (1)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
