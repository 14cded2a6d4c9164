"""A trial's training as it goes: the logs of epochs in; reports, pruning, history, weights that count out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import optuna

from bigdl.nano.automl.search.history import compact
from bigdl.nano.automl.search.targets import Targets

Weights = list[Any]  # arrays


class Following:
    """Reports the metric after each epoch, ends a trial that is to be pruned, keeps what the logs say.

    ``reports``: of several objectives none is reported, as Optuna prunes searches of one alone.
    ``weights_now`` gives the model's weights, where those of the epoch that counts are to be kept.
    """

    def __init__(
        self,
        trial: optuna.Trial,
        targets: Targets,
        reports: bool,
        prunes: bool,
        weights_now: Callable[[], Weights] | None = None,
    ) -> None:
        self.epochs: list[dict[str, float]] = []  # what was logged in each
        self.weights: Weights | None = None  # of the epoch that counts; None: those at the end
        self._trial, self._targets, self._reports, self._prunes = trial, targets, reports, prunes
        self._weights_now = weights_now
        self._best: float | None = None

    @property
    def history(self) -> dict[str, list[float]]:
        """By metric, its values in the order of the epochs that have logged it."""
        history: dict[str, list[float]] = {}
        for logs in self.epochs:
            for name, value in logs.items():
                history.setdefault(name, []).append(value)
        return history

    def epoch_ended(self, logs: Mapping[str, float], step: int) -> None:
        """Take in what an epoch has logged and report it at ``step``; raises ``optuna.TrialPruned``."""
        self.epochs.append(dict(logs))
        first = self._targets.metrics[0] if self._targets.metrics else None
        if first in logs:
            self._keep_weights(logs[first])
            if self._reports:
                self._report(logs[first], step)

    def _report(self, value: float, step: int) -> None:
        self._trial.report(value, step)
        if self._prunes and self._trial.should_prune():
            raise optuna.TrialPruned(f"pruned after epoch {step + 1}")

    def _keep_weights(self, value: float) -> None:
        if self._weights_now is not None and self._targets.is_better(value, self._best):
            self._best = value
            if self._targets.mode != "last":
                self.weights = self._weights_now()

    def store(self) -> None:
        """Write epochs and history to the trial, also of one that was pruned or failed."""
        if self.epochs:
            self._trial.set_user_attr("epochs", len(self.epochs))
            self._trial.set_user_attr("history", compact(self.history))
