"""A study as the plots need it: trials in memory in, an Optuna study that never asks a database out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from orchestrator.plots.labels import choice_labels, literal, name_labels
from orchestrator.plots.shown_trial import Labelled, ShownTrial
from orchestrator.plots.style import quiet

_WITHOUT_VALUE = {s: s for s in ("pruned", "running", "waiting")} | {"fail": "failed"}

Target = Callable[[FrozenTrial], float]


class StudyView(optuna.Study):
    """A read-only study over the given trials, for Optuna's plots.

    The trials keep their numbers; parameters and choices carry the labels people see (``labels`` maps the
    stored names to them); user attributes are left out, as hover texts would repeat them. With ``objective``
    it is a study of that objective alone, so that best-so-far and direction are right; with ``target`` one
    that minimizes what the target says of the stored trial. ``originals`` holds the stored trials by number.
    """

    def __init__(
        self,
        study: optuna.Study,
        trials: Iterable[FrozenTrial],
        objective: int | None = None,
        target: Target | None = None,
    ):
        """Copy directions and metric names; nothing is read from the study's storage later."""
        self.source, self.objective, self.target = study, objective, target
        self.originals = {trial.number: trial for trial in trials}
        self.labels = name_labels(_parameter_names(self.originals.values()))
        self.importances: dict[str, float] | None = None  # by value, once they were computed
        self._relabelled: dict[int, tuple[BaseDistribution, BaseDistribution, dict[str, str]]] = {}
        self._shown = [
            ShownTrial(trial, self._values(trial), self._labelled) for trial in self.originals.values()
        ]
        with quiet():
            storage = optuna.storages.InMemoryStorage()
            storage.create_new_study(self._aims(), study.study_name)
            super().__init__(study.study_name, storage)
            if study.metric_names is not None and len(self.directions) == len(study.metric_names):
                self.set_metric_names([literal(name) for name in study.metric_names])

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """The relabelled trials in order of their numbers; never copied, as plots only read them."""
        return [trial for trial in self._shown if states is None or trial.state in states]

    def complete(self) -> list[FrozenTrial]:
        """The trials that ended with values."""
        return self.get_trials(states=(TrialState.COMPLETE,))

    def distribution(self, label: str) -> BaseDistribution:
        """The distribution of a parameter in the first trial that has it; ``KeyError`` where none has."""
        for trial in self._shown:
            if label in trial.distributions:
                return trial.distributions[label]
        raise KeyError(label)

    def at_places(self, numbers: Iterable[int]) -> StudyView:
        """The trials of these numbers, renumbered from 0: some plots of Optuna take a number as a place."""
        part = self.only(set(numbers))
        part._shown = [trial.at_place(place) for place, trial in enumerate(part._shown)]
        return part

    def only(self, numbers: Container[int]) -> StudyView:
        """The same study with the trials of these numbers."""
        kept = [trial for number, trial in self.originals.items() if number in numbers]
        return StudyView(self.source, kept, self.objective, self.target)

    def of_objective(self, index: int) -> StudyView:
        """The same trials as a study of one objective."""
        return StudyView(self.source, self.originals.values(), index)

    def best_first(self) -> list[FrozenTrial]:
        """Complete trials, the best first; of several objectives the Pareto front first."""
        if len(self.directions) > 1:
            front = {trial.number for trial in self.best_trials}
            return sorted(self.complete(), key=lambda trial: trial.number not in front)
        sign = -1.0 if self.directions[0] == StudyDirection.MAXIMIZE else 1.0
        return sorted(self.complete(), key=lambda trial: sign * trial.values[0])

    def _aims(self) -> list[StudyDirection]:
        if self.target is not None:
            return [StudyDirection.MINIMIZE]
        directions = self.source.directions
        return directions if self.objective is None else [directions[self.objective]]

    def _labelled(self, trial: FrozenTrial) -> Labelled:
        params, distributions = {}, {}
        stored = trial.params
        for name, distribution in trial.distributions.items():
            label, value = self.labels[name], stored[name]
            distributions[label], choices = self._relabel(distribution)
            params[label] = choices.get(value, value) if isinstance(value, str) else value
        return params, distributions

    def _values(self, trial: FrozenTrial) -> list[float] | None:
        if self.target is not None:
            return [float(self.target(trial))] if trial.state == TrialState.COMPLETE else None
        values: list[float] | None = trial.values
        return values if values is None or self.objective is None else [values[self.objective]]

    def _relabel(self, distribution: BaseDistribution) -> tuple[BaseDistribution, dict[str, str]]:
        """The distribution with labels for choices; known by identity, as hashing one takes longer."""
        known = self._relabelled.get(id(distribution))
        if known is None:
            known = self._relabelled[id(distribution)] = (distribution, *_with_labels(distribution))
        return known[1:]


def _with_labels(distribution: BaseDistribution) -> tuple[BaseDistribution, dict[str, str]]:
    if not isinstance(distribution, CategoricalDistribution):
        return distribution, {}
    labels = choice_labels(distribution.choices)
    choices = [labels.get(c, c) if isinstance(c, str) else c for c in distribution.choices]
    return CategoricalDistribution(choices), labels


def _parameter_names(trials: Iterable[FrozenTrial]) -> set[str]:
    """Stored trials share their distributions, so each dictionary is looked into once."""
    different = {id(distributions): distributions for distributions in (t.distributions for t in trials)}
    return {name for distributions in different.values() for name in distributions}


def objective_names(study: optuna.Study) -> list[str]:
    """What the objectives are called on axes: the study's metric names, else «objective value»."""
    if study.metric_names is not None:
        return [literal(name) for name in study.metric_names]
    count = len(study.directions)
    return ["objective value"] if count == 1 else [f"objective {index}" for index in range(count)]


def not_shown(view: StudyView) -> list[str]:
    """In a sentence, how many trials a plot of values leaves out and why; nothing where it has them all."""
    states = Counter(trial.state.name.lower() for trial in view.get_trials())
    counts = {word: states[state] for state, word in _WITHOUT_VALUE.items()}
    counts["infinite"] = sum(not all(map(math.isfinite, trial.values)) for trial in view.complete())
    found = [f"{count:,} {word}" for word, count in counts.items() if count]
    if not found:
        return []
    which = " and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)
    verb = "is" if sum(counts.values()) == 1 else "are"
    return [f"Of {len(view.originals):,} trials, {which} {verb} not shown: no finite final value."]


def finite(trials: Sequence[FrozenTrial], target: Callable[[FrozenTrial], Any]) -> list[float]:
    """The target's values of these trials, without NaN and the infinities."""
    values = [float(target(trial)) for trial in trials]
    return [value for value in values if abs(value) < float("inf")]
