"""Which classifier reads handwritten digits best? A search over seven hyperparameters.

    nano-hpo run examples/digits.py:objective --n-trials 40 --n-parallels 2

Each trial chooses a linear model or a small neural network and its settings, trains it in epochs on the 1,797
digits that scikit-learn ships, three-fold cross-validated, and returns the share of digits it misreads: lower
is better, which is the default direction. After every epoch it reports how it is doing, so that hopeless
trials can be stopped early.
"""

import numpy as np
import optuna
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.neural_network import MLPClassifier

EPOCHS = 25
FOLDS = 3
SEED = 0  # the same parameters always give the same error

Classifier = SGDClassifier | MLPClassifier


def objective(trial: optuna.Trial) -> float:
    """The error rate, 0 to 1, after the last epoch; raises `TrialPruned` when it is not worth finishing."""
    images, digits = load_digits(return_X_y=True)
    images = images / 16.0  # grey levels 0 to 16 become 0 to 1
    folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(images, digits))
    build = choose_classifier(trial)
    classifiers = [build() for _ in folds]
    error = 1.0
    for epoch in range(EPOCHS):
        errors = []
        for classifier, (train, test) in zip(classifiers, folds, strict=True):
            classifier.partial_fit(images[train], digits[train], classes=np.unique(digits))
            errors.append(1.0 - classifier.score(images[test], digits[test]))
        error = float(np.mean(errors))
        trial.report(error, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return error


def choose_classifier(trial: optuna.Trial):
    """Ask the trial for a kind of model and its settings; returns a function that builds a fresh one."""
    kind = trial.suggest_categorical("model", ["linear", "network"])
    alpha = trial.suggest_float("alpha", 1e-6, 1e-1, log=True)  # strength of the L2 penalty
    if kind == "linear":
        loss = trial.suggest_categorical("loss", ["hinge", "log_loss", "modified_huber"])
        return lambda: SGDClassifier(loss=loss, alpha=alpha, random_state=SEED)
    units = trial.suggest_int("units", 16, 128, log=True)
    layers = trial.suggest_int("layers", 1, 2)
    settings = {
        "hidden_layer_sizes": (units,) * layers,
        "alpha": alpha,
        "activation": trial.suggest_categorical("activation", ["relu", "tanh"]),
        "learning_rate_init": trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
        "batch_size": 32,
        "random_state": SEED,
    }
    return lambda: MLPClassifier(**settings)


if __name__ == "__main__":  # the same from Python
    from orchestrator import search

    print(search(objective, n_trials=20, n_parallels=2))
