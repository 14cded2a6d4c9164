"""A search by several processes that goes on tomorrow.

    python examples/keras_parallel_and_resume.py             # six trials by two processes
    python examples/keras_parallel_and_resume.py --resume    # tomorrow: six more, with the first six in mind
    python examples/keras_parallel_and_resume.py --storage mysql://user@localhost/db

All trials are in one study in a database. Here that is a SQLite file; for many processes name a MySQL or
MariaDB server (`nano-hpo db start DIR` makes one of your own). Each process has cores of its own. One that
dies is replaced and its trial is tried again, so a search for six trials ends with six finished ones. The
digits are written once, and all processes read them from the same memory.

`keep_best=True` keeps the weights of the best trial: the training at the end begins with them. A report of
the search, one HTML file, is in the folder that is named when it is over.

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
    digits = load_digits()
    x, x_test, y, y_test = train_test_split(digits.data / 16.0, digits.target, test_size=360, random_state=0)
    model = define_model()
    model.search(
        storage=arguments.storage,
        study_name="keras-digits",  # storage and name say which search it is that goes on
        resume=arguments.resume,  # False begins from scratch; a study of that name is renamed, not deleted
        n_trials=arguments.n_trials,
        n_parallels=arguments.n_parallels,
        target_metric="accuracy",
        direction="maximize",
        keep_best=True,
        x=x,
        y=y,
        validation_split=0.2,
        batch_size=space.Categorical(32, 64, 128),
        epochs=5,
    )
    study = model.search_summary()  # an Optuna study
    print(f"\nBest of {len(study.trials)} trials, {study.best_value:.1%} of the validation digits right:")
    for name, value in study.best_params.items():
        print(f"    {name.removesuffix(space.SPLITTER + 'choice')} = {value}")

    model.fit(x, y, epochs=5, verbose=0)  # from the weights that were kept, and with all the digits
    result = model.evaluate(x_test, y_test, verbose=0, return_dict=True)
    print(f"Test accuracy: {result['accuracy']:.1%}")


def define_model() -> Sequential:
    """One hidden layer; the same code makes the same search spaces tomorrow."""
    model = Sequential()
    model.add(layers.Dense(units=space.Int(32, 128, log=True), activation="relu"))
    model.add(layers.Dropout(rate=space.Real(0.0, 0.5)))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(
        optimizer=optimizers.Adam(learning_rate=space.Real(1e-3, 1e-1, log=True)),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def read_arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--n-trials", type=int, default=6, metavar="N", help="models to try (6)")
    parser.add_argument("--n-parallels", type=int, default=2, metavar="N", help="processes that try them (2)")
    parser.add_argument("--storage", default="sqlite:///keras-digits.db", metavar="URL", help="the database")
    parser.add_argument("--resume", action="store_true", help="add the trials to those that are stored")
    return parser.parse_args()


if __name__ == "__main__":
    main()
