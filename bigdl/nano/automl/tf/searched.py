"""What a search leaves behind: its study, and all that makes a model of one of its trials."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigdl.nano.automl.hpo.lazy import is_lazy
from bigdl.nano.automl.hpo.objects import Arguments
from bigdl.nano.automl.tf.weights import FOLDER, TemporaryFolder, load

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from orchestrator import Summary


@dataclass(frozen=True)
class Searched:
    """A search that was run."""

    summary: Summary
    fitting: Arguments
    sample: Mapping[str, Any] | None = field(repr=False)
    keeps_best: bool = False  # it was asked to keep weights
    folders: tuple[Path, ...] = ()  # where weights may be
    keeper: TemporaryFolder = field(default_factory=TemporaryFolder)  # of weights, while this is needed

    @property
    def study(self) -> optuna.Study:
        """The study, with all its trials."""
        return self.summary.study

    def trial(self, number: int) -> FrozenTrial:
        """The trial of that number; -1 is the best one. ``ValueError`` when there is none, or no one best."""
        if number == -1:
            return self._best()
        found = [trial for trial in self.summary.trials if trial.number == number]
        if not found:
            last = len(self.summary.trials) - 1
            raise ValueError(f"use_trial_id is {number}; the search has trials 0 to {last}.")
        return found[0]

    def _best(self) -> FrozenTrial:
        best = self.summary.best_trials
        if not best:
            raise ValueError(
                "No trial of the search is complete; choose one by use_trial_id, or search again."
            )
        if len(best) > 1:
            numbers = ", ".join(str(trial.number) for trial in best)
            raise ValueError(
                f"The search has {len(best)} best trials, none better than another in all metrics: {numbers}."
                f" Choose one by use_trial_id={best[0].number}."
            )
        return best[0]

    @property
    def searched_arguments(self) -> Arguments:
        """The arguments of ``fit`` that were searched."""
        return Arguments({key: value for key, value in self.fitting.kwargs.items() if is_lazy(value)})

    def load_weights(self, model: Any, trial: FrozenTrial) -> bool:
        """Set the weights that were kept of the trial; False when there are none.

        Those of earlier runs, which other programs may have made, lie beside the folder of the last one.
        """
        weights = load([*self.folders, *self._of_earlier_runs()], trial)
        if weights is None:
            self._say_that_there_are_none(trial)
            return False
        if not model.built and self.sample is not None:
            model.evaluate(**self.sample, verbose=0)
        model.set_weights(weights)
        return True

    def _of_earlier_runs(self) -> list[Path]:
        run_dir = self.summary.run_dir
        return sorted(run_dir.parent.glob(f"run-*/{FOLDER}")) if run_dir is not None else []

    def _say_that_there_are_none(self, trial: FrozenTrial) -> None:
        if self.keeps_best and trial in self.summary.best_trials:
            warnings.warn(
                f"No weights are kept of trial {trial.number}: the model is untrained.",
                stacklevel=4,
            )
