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
        self.logs: list[dict[str, float]] = []  # by step: what was logged
        self.n_epochs = 0
        self.weights: Weights | None = None  # of the epoch that counts; None: those at the end
        self._trial, self._targets, self._reports, self._prunes = trial, targets, reports, prunes
        self._weights_now = weights_now
        self._best: float | None = None

    @property
    def history(self) -> dict[str, list[float]]:
        """By metric, its values in the order of the steps that have logged it."""
        history: dict[str, list[float]] = {}
        for logs in self.logs:
            for name, value in logs.items():
                history.setdefault(name, []).append(value)
        return history

    def epoch_ended(self, logs: Mapping[str, float], step: int | None = None) -> None:
        """Take in what a further epoch (or part of one) has logged; raises ``optuna.TrialPruned``.

        The metric is reported at ``step``; default: the number of epochs before.
        """
        self.logs.append({})
        self.add(logs, step)

    def add(self, logs: Mapping[str, float], step: int | None = None) -> None:
        """Take in what was logged late, under names that are new; raises as :meth:`epoch_ended`."""
        latest = self.logs[-1]
        first = self._targets.metrics[0] if self._targets.metrics else None
        is_news = first in logs and first not in latest
        latest.update({name: value for name, value in logs.items() if name not in latest})
        if is_news and first is not None:
            self._keep_weights(logs[first])
            if self._reports:
                self._report(logs[first], len(self.logs) - 1 if step is None else step)

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
        if self.logs:
            self._trial.set_user_attr("epochs", self.n_epochs)
            self._trial.set_user_attr("history", compact(self.history))
