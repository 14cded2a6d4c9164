"""A trial's training as it goes: the logs of epochs in; reports, pruning, history, weights that count out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import optuna

from bigdl.nano.automl.search.history import compact
from bigdl.nano.automl.search.targets import Targets

Weights = list[Any]  # arrays

log = logging.getLogger("nano_hpo")


class Following:
    """Reports the metric after each epoch, ends a trial that is to be pruned, keeps what the logs say.

    ``reports``: of several objectives none is reported, as Optuna prunes searches of one alone.
    ``weights_now`` gives the model's weights, where those of the epoch that counts are to be kept.

    A training may go on where an attempt before has left it: :meth:`restore` takes what :meth:`state` gave.
    Values that such an attempt has reported are written over, and were judged already.
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
        self._reported: dict[int, float] = {}  # by step
        self._left = dict(trial.storage.get_trial(trial._trial_id).intermediate_values)

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
        self._reported[step] = value
        self._write(value, step)
        if self._prunes and step not in self._left and self._trial.should_prune():
            raise optuna.TrialPruned(f"pruned after epoch {step + 1}")

    def _write(self, value: float, step: int) -> None:
        """As ``report``, which would not take a step that is there."""
        if step not in self._left:
            self._trial.report(value, step)
        elif self._left[step] != value:
            self._trial.storage.set_trial_intermediate_value(self._trial._trial_id, step, value)

    def _keep_weights(self, value: float) -> None:
        if self._weights_now is not None and self._targets.is_better(value, self._best):
            self._best = value
            if self._targets.mode != "last":
                self.weights = self._weights_now()

    def state(self) -> dict[str, Any]:
        """All that is known so far, to be kept in a checkpoint."""
        return {
            "logs": self.logs,
            "n_epochs": self.n_epochs,
            "weights": self.weights,
            "best": self._best,
            "reported": self._reported,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; what is missing of the values that were reported is reported again."""
        self.logs, self.n_epochs = list(state["logs"]), state["n_epochs"]
        self.weights, self._best = state["weights"], state["best"]
        self._reported = dict(state["reported"])
        for step, value in self._reported.items():
            self._write(value, step)
        log.info("Trial %d goes on after epoch %d.", self._trial.number, self.n_epochs)

    def store(self) -> None:
        """Write epochs and history to the trial, also of one that was pruned or failed."""
        if self.logs:
            self._trial.set_user_attr("epochs", self.n_epochs)
            self._trial.set_user_attr("history", compact(self.history))
