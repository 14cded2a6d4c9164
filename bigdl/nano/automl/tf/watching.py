"""Keras's training as it goes: its epochs in, what is followed of a trial out."""

from __future__ import annotations

import keras
import optuna

from bigdl.nano.automl.search.following import Following
from bigdl.nano.automl.search.targets import Targets


class Watch(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells :class:`Following` what each epoch has logged."""

    def __init__(self, trial: optuna.Trial, targets: Targets, prunes: bool, keeps_weights: bool) -> None:
        super().__init__()
        weights_now = (lambda: self.model.get_weights()) if keeps_weights else None
        self.followed = Following(trial, targets, len(targets.metrics) == 1, prunes, weights_now)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Keras has finished an epoch; with ``validation_freq=2`` every other one has been validated."""
        self.followed.n_epochs += 1
        self.followed.epoch_ended({name: float(value) for name, value in (logs or {}).items()}, epoch)
