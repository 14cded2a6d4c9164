"""What a search leaves behind: its study, its trials by number, and the weights that were kept of them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigdl.nano.automl.search.options import SearchOptions
from bigdl.nano.automl.search.weights import FOLDER, TemporaryFolder, load, remove_beaten
from orchestrator.storage.attempts import CAUSE

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from orchestrator import Summary

BEST = -1  # use_trial_id of the best trial, as the old system had it


@dataclass(frozen=True, kw_only=True)
class Searched:
    """A search that was run."""

    summary: Summary
    keeps_best: bool = False  # it was asked to keep weights
    folders: tuple[Path, ...] = ()  # where weights may be
    keeper: TemporaryFolder = field(default_factory=TemporaryFolder)  # of weights, while this is needed

    @property
    def study(self) -> optuna.Study:
        """The study, with all its trials."""
        return self.summary.study

    def trial(self, number: int) -> FrozenTrial:
        """The trial of that number; -1 is the best one. ``ValueError`` when there is none, or no one best."""
        if number == BEST:
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

    def weights(self, trial: FrozenTrial) -> list[Any] | None:
        """The weights that were kept of the trial; None when there are none, which is said of a best one.

        Those of earlier runs, which other programs may have made, lie beside the folder of the last one.
        """
        weights = load([*self.folders, *self._of_earlier_runs()], trial)
        if weights is None and self.keeps_best and trial in self.summary.best_trials:
            warnings.warn(
                f"No weights are kept of trial {trial.number}: the model is untrained.", stacklevel=4
            )
        return weights

    def _of_earlier_runs(self) -> list[Path]:
        run_dir = self.summary.run_dir
        return sorted(run_dir.parent.glob(f"run-*/{FOLDER}")) if run_dir is not None else []


def study_to_use(resume: bool, options: SearchOptions, earlier: Searched | None, name: str) -> dict[str, Any]:
    """The keywords of ``orchestrator.search`` that say which study in which storage, and whether it goes on.

    ``name`` is the model's. ``ValueError`` when there is nothing to resume.
    """
    from orchestrator.storage_url import chosen_url

    storage = options.storage
    where = {"storage": storage, "server": options.server}
    if not resume:
        return {**where, "study_name": options.study_name or name, "resume": False}
    if earlier is not None and storage is None:
        return {**where, "study_name": options.study_name, "resume": earlier.summary}
    if chosen_url(storage, may_be_automatic=True) is None:
        raise ValueError(
            "resume=True: this model has not been searched; give storage=URL and study_name=NAME of the "
            "search to go on with, or leave out resume."
        )
    known = earlier.study.study_name if earlier is not None else name
    return {**where, "study_name": options.study_name or known, "resume": True}


def stays_here(n_parallels: Any, where: Mapping[str, Any], options: SearchOptions) -> bool:
    """Whether no other process needs what is searched: the trials run in this one."""
    from orchestrator.ranks import this_rank

    is_alone = n_parallels == 1 and this_rank().size == 1
    return bool(is_alone) and where["storage"] is None and not options.needs_processes


def folders_of_weights(
    summary: Summary, keeper: TemporaryFolder, earlier: Searched | None, keeps_best: bool
) -> tuple[Path, ...]:
    """Where weights of the study's trials may be; those that are beaten by now are removed."""
    folders = earlier.folders if earlier is not None else ()
    if not keeps_best:
        return folders
    own = summary.run_dir / FOLDER if summary.run_dir is not None else keeper.path
    for folder in (own, *folders):
        remove_beaten(folder, summary.study)
    return (own, *folders)


def cause_of_failures(summary: Summary) -> str | None:
    """In a line, why the last trial failed, where no trial of the run is complete or pruned.

    A run of few trials ends well although all of them failed: what they failed of is to be seen.
    """
    if not summary.only_failures:
        return None
    last = [trial for trial in summary.trials if trial.state.name == "FAIL"][-1]
    cause = str(last.system_attrs.get(CAUSE, "see the logs of the run"))
    end = "" if cause.endswith((".", "?")) else "."
    return f"No trial of the search is complete. Trial {last.number}: {cause}{end}"
