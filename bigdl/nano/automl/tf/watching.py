"""A trial's training as it goes: epochs in; reports, pruning, history and the weights that count out."""

from __future__ import annotations

import math
from typing import Any

import keras
import optuna

from bigdl.nano.automl.tf.targets import Targets

_DIGITS = 7  # what single precision holds
_MAX_BYTES = 40_000  # of a stored history: Optuna's attributes are TEXT, 65,535 bytes on MySQL


class Watch(keras.callbacks.Callback):  # type: ignore[misc]
    """Reports the metric after each epoch, ends a trial that is to be pruned, keeps what the logs say.

    Of several metrics none is reported: Optuna prunes searches of one objective alone.
    """

    def __init__(self, trial: optuna.Trial, targets: Targets, prunes: bool, keeps_weights: bool) -> None:
        super().__init__()
        self.history: dict[str, list[float]] = {}
        self.n_epochs = 0
        self.weights: list[Any] | None = None  # of the epoch that counts
        self._trial, self._targets, self._prunes, self._keeps = trial, targets, prunes, keeps_weights
        self._best: float | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Keras has finished an epoch."""
        self.n_epochs += 1
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
        if self._targets.metrics[0] in (logs or {}):  # with validation_freq=2, every other epoch
            self._take_in(float(logs[self._targets.metrics[0]]), epoch)  # type: ignore[index]

    def _take_in(self, value: float, epoch: int) -> None:
        self._keep_weights(value)
        if len(self._targets.metrics) == 1:
            self._trial.report(value, epoch)
            if self._prunes and self._trial.should_prune():
                raise optuna.TrialPruned(f"pruned after epoch {epoch + 1}")

    def _keep_weights(self, value: float) -> None:
        if self._keeps and self._targets.is_better(value, self._best):
            self._best = value
            if self._targets.mode != "last":
                self.weights = self.model.get_weights()

    def store(self) -> None:
        """Write epochs and history to the trial, also of one that was pruned or failed."""
        if self.history:
            self._trial.set_user_attr("epochs", self.n_epochs)
            self._trial.set_user_attr("history", compact(self.history))


def compact(history: dict[str, list[float]]) -> dict[str, list[float | None]]:
    """A history of rounded numbers that fits an attribute; of a long one every second, fourth … epoch.

    What is no number (NaN, infinity) is None: not every reader of JSON knows such.
    """
    n_numbers = sum(len(values) for values in history.values())
    n_most = max(1, _MAX_BYTES // 14)
    step = 1
    while n_numbers / step > n_most:
        step *= 2
    return {name: [_rounded(value) for value in values[::step]] for name, values in history.items()}


def _rounded(value: float) -> float | None:
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
