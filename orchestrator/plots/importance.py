"""Which parameters matter: a view of a study in, importance by value and by duration out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import optuna
import plotly.graph_objects as go
from optuna.importance import BaseImportanceEvaluator, PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial

from orchestrator.plots import thin
from orchestrator.plots.labels import literal
from orchestrator.plots.style import HALF, PLAIN_NAMES, UndrawableError, styled
from orchestrator.plots.view import StudyView, Target, finite, objective_names
from orchestrator.records import AttemptRecord
from orchestrator.summary import in_whole_seconds, objective_seconds

_NAMES = {
    "PedAnovaImportanceEvaluator": "PED-ANOVA",
    "FanovaImportanceEvaluator": "fANOVA",
    "MeanDecreaseImpurityImportanceEvaluator": "mean decrease in impurity",
}
_FEW = 50  # PED-ANOVA's authors want five trials in the best tenth


class Given(BaseImportanceEvaluator):
    """Answers with importances that were computed before, so that plots need not compute them again."""

    def __init__(self, values: Mapping[str, float]):
        self.values = dict(values)

    def evaluate(
        self, study: optuna.Study, params: list[str] | None = None, *, target: Target | None = None
    ) -> dict[str, float]:
        """The given importances, whatever is asked."""
        return self.values


def evaluator_name(evaluator: BaseImportanceEvaluator) -> str:
    """What a title calls the method: «PED-ANOVA»; an unknown one by its class."""
    name = type(evaluator).__name__
    return _NAMES.get(name, literal(name))


def importances(
    view: StudyView,
    target: Target | None = None,
    evaluator: BaseImportanceEvaluator | None = None,
    params: list[str] | None = None,
) -> dict[str, float]:
    """Importances that sum to 1, highest first, from an even sample of a large study's trials.

    Those by value of all parameters, which several plots want, are computed once. Raises UndrawableError
    where importances mean nothing.
    """
    if target is not None or evaluator is not None or params is not None:
        return _computed(view, target, evaluator or PedAnovaImportanceEvaluator(), params)
    if view.importances is None:
        view.importances = _computed(view, None, PedAnovaImportanceEvaluator(), None)
    return dict(view.importances)


def _computed(
    view: StudyView, target: Target | None, evaluator: BaseImportanceEvaluator, params: list[str] | None
) -> dict[str, float]:
    _require_meaning(view, target)
    found = evaluator.evaluate(thin.even(view), params, target=target)
    total = float(sum(found.values()))
    if not total > 0:
        raise UndrawableError("No parameter sets the best trials apart from the others yet.")
    ranked = sorted(found.items(), key=lambda item: -item[1])
    return {name: float(value) / total for name, value in ranked}


def _require_meaning(view: StudyView, target: Target | None) -> None:
    values = finite(view.complete(), target or (lambda trial: trial.values[0]))
    if len(values) < 2:
        raise UndrawableError(f"Importance needs two complete trials; there {_is_are(len(values))}.")
    if min(values) == max(values):
        raise UndrawableError(
            f"All {len(values)} complete trials have the same value; no parameter changes it."
        )
    if len(view.labels) < 2:
        raise UndrawableError("Importance compares parameters; fewer than two were searched.")


def _is_are(count: int) -> str:
    return "is one" if count == 1 else "are none"


def importance_figure(
    views: Mapping[str, tuple[StudyView, Mapping[str, float]]], title: str, notes: Sequence[str]
) -> go.Figure:
    """Bars of importances, one group per named view (for several objectives)."""
    plots = [
        optuna.visualization.plot_param_importances(
            view, Given(values), target=lambda _: 0.0, target_name=name
        )
        for name, (view, values) in views.items()
    ]
    figure = plots[0]
    for other in plots[1:]:
        figure.add_traces(other.data)
    rows = max(len(values) for _, values in views.values())
    figure = styled(figure, title, notes, height=150 + 30 * rows * len(plots), characters=HALF)
    figure.update_xaxes(title_text="importance (all together 1)", rangemode="tozero")
    figure.update_yaxes(title_text="", ticklabelstandoff=6)
    return figure.update_traces(marker_line_width=0)


def value_importance_figure(
    view: StudyView,
    name: str,
    evaluator: BaseImportanceEvaluator | None = None,
    params: list[str] | None = None,
) -> go.Figure:
    """What decides about the values of a view with one objective; the evaluator stands in the title."""
    used = evaluator or PedAnovaImportanceEvaluator()
    values = importances(view, evaluator=evaluator, params=params)
    title = f"Importance for {_article(name)} ({evaluator_name(used)})"
    return importance_figure({name: (view, values)}, title, [*meaning(view, name, used), *_basis(view)])


def several_importances_figure(
    view: StudyView, evaluator: BaseImportanceEvaluator | None, params: list[str] | None
) -> go.Figure:
    """One group of bars for each objective, each in its own direction."""
    used = evaluator or PedAnovaImportanceEvaluator()
    groups = {}
    for index, name in enumerate(objective_names(view.source)):
        part = view.of_objective(index)
        groups[name] = (part, importances(part, evaluator=used, params=params))
    title = f"Importance for each objective ({evaluator_name(used)})"
    return importance_figure(groups, title, [*meaning(view, "each objective", used), *_basis(view)])


def meaning(view: StudyView, name: str, evaluator: BaseImportanceEvaluator) -> list[str]:
    """What PED-ANOVA's numbers say; nothing about other evaluators."""
    if not isinstance(evaluator, PedAnovaImportanceEvaluator):
        return []
    if view.target is not None:
        return [f"Which parameters decide whether a trial is among the 10 % with the lowest {name}."]
    return [f"Which parameters decide whether a trial is among the best 10 % by {name}."]


def _article(name: str) -> str:
    return "the value" if name in PLAIN_NAMES else name


def _basis(view: StudyView) -> list[str]:
    """What a reader must know of the number of trials: that there are few, or a sample of many."""
    count = len(view.complete())
    if count < _FEW:
        return [f"From {count} complete trials only: a hint, not a finding."]
    return thin.said_of_even(view)


@dataclass(frozen=True, slots=True)
class Durations:
    """Comparable seconds by trial number, and in sentences what they are and what they leave out."""

    seconds: dict[int, float]
    notes: tuple[str, ...]


def durations(trials: Sequence[FrozenTrial], attempts: Sequence[AttemptRecord]) -> Durations:
    """Seconds inside the objective, summed over a trial's attempts, on the commonest kind of slot.

    Only trials are kept whose attempts all ran on the commonest (CPU model, slot width); without any
    attempt, the time from start to end as Optuna stored it.
    """
    if not attempts:
        raw = {trial.number: trial.duration.total_seconds() for trial in trials if trial.duration is not None}
        return Durations(raw, (f"Duration from a trial's start to its end{_resolution(trials)}.",))
    by_trial: dict[int, list[AttemptRecord]] = {trial.number: [] for trial in trials}
    for attempt in attempts:
        if attempt.trial_number in by_trial:
            by_trial[attempt.trial_number].append(attempt)
    kinds = {number: {(a.cpu_model, a.slot_width) for a in tries} for number, tries in by_trial.items()}
    counted = Counter(next(iter(kind)) for kind in kinds.values() if len(kind) == 1)
    if not counted:
        raise UndrawableError("No complete trial ran on one kind of slot alone, so durations do not compare.")
    commonest = min(counted, key=lambda kind: (-counted[kind], kind))
    measured = objective_seconds(attempts)
    kept = {n: measured[n] for n, kind in kinds.items() if kind == {commonest} and n in measured}
    return Durations(kept, (_machine(commonest), *_left_out(kinds, kept)))


def _resolution(trials: Sequence[FrozenTrial]) -> str:
    """A remark where the dates are in whole seconds, as in tables of plain Optuna on MySQL."""
    return ", known in whole seconds only" if all(map(in_whole_seconds, trials)) else ""


def _machine(kind: tuple[str, int]) -> str:
    model, width = kind
    return f"Seconds inside the objective, all attempts of a trial, on slots of {width} × {literal(model)}."


def _left_out(kinds: Mapping[int, set[tuple[str, int]]], kept: Mapping[int, float]) -> list[str]:
    gone = [kind for number, kind in kinds.items() if number not in kept]
    foreign = sum(not kind for kind in gone)
    parts = {"ran on other CPUs or slot widths": len(gone) - foreign, "ran outside our workers": foreign}
    said = [f"{count:,} that {why}" for why, count in parts.items() if count]
    return [f"Left out of {len(kinds):,} complete trials: {' and '.join(said)}."] if said else []


def duration_importance_figure(view: StudyView, attempts: Sequence[AttemptRecord]) -> go.Figure:
    """What makes trials fast: low durations are PED-ANOVA's aim."""
    found = durations(view.complete(), attempts)
    part = thin.even(view, among=found.seconds)
    values = importances(part, target=lambda trial: found.seconds[trial.number])
    fast = "Which parameters decide whether a trial is among the fastest 10 %."
    notes = [fast, *found.notes, *thin.said_of_even(view, among=found.seconds), *_basis(part)]
    title = "Importance for the duration (PED-ANOVA)"
    return importance_figure({"duration (s)": (part, values)}, title, notes)
