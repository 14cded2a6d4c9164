"""Lightning's training as it goes: its hooks in, what is followed of a trial out."""

from __future__ import annotations

from typing import Any

import optuna
import pytorch_lightning as pl

from bigdl.nano.automl.pytorch.state import packed, state_of
from bigdl.nano.automl.search.following import Following
from bigdl.nano.automl.search.targets import Targets, unknown_metric
from orchestrator.nearest import nearest

_NEARLY_ALIKE = 0.85  # of 1
_MOST_STEPS_WITHOUT = 10


class Watch(pl.Callback):  # type: ignore[misc]
    """Tells :class:`Following` what each validation and each epoch has logged.

    A validation is a step of its own, also in the middle of an epoch, and what the training has logged when
    the epoch ends belongs to the last one of it; without validation an epoch is a step.
    """

    def __init__(
        self, trial: optuna.Trial, targets: Targets, reports: bool, prunes: bool, keeps_weights: bool
    ) -> None:
        super().__init__()
        self.followed = Following(trial, targets, reports, prunes, self._weights if keeps_weights else None)
        self._keeps_weights = keeps_weights
        self._validated_state: dict[str, Any] | None = None
        self._targets = targets
        self._module: Any = None
        self._seen: dict[str, Any] = {}  # the objects that hold the values, by name: a new one is news
        self._by_batch: dict[str, float] = {}  # logged by the last batch of the epoch
        self._is_validated = False  # in this epoch
        self.n_validations = 0

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Lightning begins."""
        self._module = pl_module

    def on_validation_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """The weights are those that are validated: a callback may swap in averaged ones meanwhile."""
        if self._keeps_weights and not trainer.sanity_checking:
            self._validated_state = state_of(pl_module)

    def _weights(self) -> list[Any]:
        return packed(self._validated_state or state_of(self._module))

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """All validation data were gone through."""
        if trainer.sanity_checking:
            self._news(trainer)
            return
        self.n_validations += 1
        self._is_validated = True
        self.followed.epoch_ended(self._news(trainer))
        self._validated_state = None

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """What is logged by batch alone can be seen until the epoch ends."""
        if trainer.is_last_batch:
            self._by_batch = self._news(trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """An epoch ends, its validation included."""
        self.followed.n_epochs += 1
        logs = {**self._by_batch, **self._news(trainer)}
        if self._is_validated:
            self.followed.add(logs)
        else:
            self.followed.epoch_ended(logs)
        self._is_validated, self._by_batch = False, {}

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Another epoch begins: what the model has logged at the very end of the one before is there now."""
        if not self.followed.logs:
            return
        self.logged_late(trainer)
        if self.n_validations or not trainer.enable_validation:
            self._require_metrics()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """The last epoch is over."""
        self.logged_late(trainer)

    def logged_late(self, trainer: Any) -> None:
        """Take in what was logged when the epoch had been reported."""
        if self.followed.logs:
            self.followed.add(self._news(trainer))

    def _require_metrics(self) -> None:
        """``ValueError`` for a metric that is not logged: the other epochs would be in vain.

        A mistyped name is found after the first epoch; a metric may be logged now and then only.
        """
        logged = dict.fromkeys(name for logs in self.followed.logs for name in logs)
        for name in self._targets.metrics:
            is_mistyped = nearest(name, logged, _NEARLY_ALIKE) is not None
            if name not in logged and (is_mistyped or len(self.followed.logs) >= _MOST_STEPS_WITHOUT):
                raise ValueError(unknown_metric(name, logged))

    def _news(self, trainer: Any) -> dict[str, float]:
        """What was logged since it was last looked at."""
        metrics = trainer.callback_metrics
        fresh = {name: value for name, value in metrics.items() if self._seen.get(name) is not value}
        self._seen.update(fresh)
        return {name: float(value) for name, value in fresh.items()}
