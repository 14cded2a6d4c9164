"""How deep, how wide? A subclass of keras.Model whose arguments are searched.

    python examples/keras_subclass.py
    python examples/keras_subclass.py --n-trials 40 --n-parallels 2

With `@hpo.tfmodel()` the arguments of your own model class may be search spaces. The class stays as it is: it
is given plain values, new ones in each trial. So a parameter may be anything that your code understands, as
here the number of blocks, which no argument of a layer could say. Hopeless trials are stopped early. In the
end the best values make an ordinary object of your class.

It takes half a minute. TensorFlow and scikit-learn: pip install -e ".[tensorflow,examples]"
"""

import argparse

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from bigdl.nano.automl import hpo, hpo_config
from bigdl.nano.automl.hpo import space
from bigdl.nano.tf import optimizers

hpo_config.enable_hpo_tf()  # from here on, optimizers take search spaces


@hpo.tfmodel()
class ResidualNetwork(keras.Model):
    """Blocks that each add a correction to what they get; scores of the ten digits at the end."""

    def __init__(self, n_blocks: int, units: int, activation: str = "relu", rate: float = 0.0):
        super().__init__()
        self.widen = keras.layers.Dense(units)
        self.blocks = [keras.layers.Dense(units, activation=activation) for _ in range(n_blocks)]
        self.dropout = keras.layers.Dropout(rate)
        self.scores = keras.layers.Dense(10)

    def call(self, images, training=False):
        """Images of 64 numbers in, ten scores out."""
        x = self.widen(images)
        for block in self.blocks:
            x = x + self.dropout(block(x), training=training)
        return self.scores(x)


def main() -> None:
    arguments = read_arguments()
    digits = load_digits()
    x, x_test, y, y_test = train_test_split(digits.data / 16.0, digits.target, test_size=360, random_state=0)

    model = ResidualNetwork(
        n_blocks=space.Int(1, 4),
        units=space.Int(16, 128, log=True),
        activation=space.Categorical("relu", "gelu", "tanh"),
        rate=space.Real(0.0, 0.4),
    )
    model.compile(
        optimizer=optimizers.Adam(learning_rate=space.Real(1e-3, 1e-1, log=True)),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.search(
        n_trials=arguments.n_trials,
        n_parallels=arguments.n_parallels,
        target_metric="accuracy",
        direction="maximize",
        pruner="median",  # stops a trial that is worse than half of the others were after as many epochs
        x=x,
        y=y,
        validation_split=0.2,
        epochs=6,
    )
    study = model.search_summary()  # an Optuna study
    n_pruned = sum(trial.state.name == "PRUNED" for trial in study.trials)
    print(f"\nBest of {len(study.trials)} trials ({n_pruned} stopped early), {study.best_value:.1%} right:")
    for name, value in study.best_params.items():
        print(f"    {name.removesuffix(space.SPLITTER + 'choice')} = {value}")

    model.fit(x, y, epochs=12, verbose=0)
    result = model.evaluate(x_test, y_test, verbose=0, return_dict=True)
    print(f"Test accuracy: {result['accuracy']:.1%}, with {len(model.blocks)} block(s)")


def read_arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--n-trials", type=int, default=10, metavar="N", help="models to try (10)")
    parser.add_argument("--n-parallels", type=int, default=1, metavar="N", help="processes that try them (1)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
