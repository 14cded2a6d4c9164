"""Plots of a search: what ``search_summary()`` returns in, interactive plotly figures out.

The signatures are those of ``optuna.visualization``. What cannot be drawn yet (no complete trial, values all
equal) gives an empty figure that says why; a mistake in the call raises, as Optuna's functions do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from optuna import Study
    from optuna.importance import BaseImportanceEvaluator
    from optuna.trial import FrozenTrial

    from orchestrator.plots.view import StudyView

Target = Callable[["FrozenTrial"], float]
Targets = Callable[["FrozenTrial"], Sequence[float]]

__all__ = [
    "plot_contour",
    "plot_intermediate_values",
    "plot_optimization_history",
    "plot_parallel_coordinate",
    "plot_param_importances",
    "plot_pareto_front",
    "plot_timeline",
]


def plot_optimization_history(
    study: Study | Sequence[Study],
    *,
    target: Target | None = None,
    target_name: str = "Objective Value",
    error_bar: bool = False,
) -> go.Figure:
    """Values by trial number, and the best so far; several studies beside each other or as error bars."""
    from orchestrator.plots.history import compared_figure, history_figure

    if isinstance(study, Sequence):
        views = [_view(one, target) for one in study]
        return _figure(lambda: compared_figure(views, target_name, error_bar))
    view = _view(study, target)
    if error_bar:
        return _figure(lambda: compared_figure([view], target_name, error_bar))
    return _figure(lambda: history_figure(view, _name(view, target_name)))


def plot_intermediate_values(study: Study) -> go.Figure:
    """What each trial reported at each step or epoch, pruned trials included."""
    from orchestrator.plots.history import intermediate_figure
    from orchestrator.plots.view import StudyView

    return _figure(lambda: intermediate_figure(StudyView(study, study.get_trials(deepcopy=False))))


def plot_parallel_coordinate(
    study: Study,
    params: list[str] | None = None,
    *,
    target: Target | None = None,
    target_name: str = "Objective Value",
) -> go.Figure:
    """One line a trial through its value and its parameters."""
    from orchestrator.plots.space import parallel_figure

    view = _view(study, target, several=True)
    return _figure(lambda: parallel_figure(view, _name(view, target_name), _labels(view, params)))


def plot_contour(
    study: Study,
    params: list[str] | None = None,
    *,
    target: Target | None = None,
    target_name: str = "Objective Value",
) -> go.Figure:
    """The value over pairs of ``params``; without them, of the four most important parameters."""
    from orchestrator.plots.space import contour_figure

    view = _view(study, target)
    return _figure(lambda: contour_figure(view, _name(view, target_name), _labels(view, params)))


def plot_param_importances(
    study: Study,
    evaluator: BaseImportanceEvaluator | None = None,
    params: list[str] | None = None,
    *,
    target: Target | None = None,
    target_name: str = "Objective Value",
) -> go.Figure:
    """Which parameters matter for the value or the target; the title names the evaluator.

    PED-ANOVA, the default, asks what reaches the best tenth; of a target, the lowest tenth. Of several
    objectives without a target it shows one group of bars each, in the direction of each.
    """
    from orchestrator.plots.importance import several_importances_figure, value_importance_figure

    view = _view(study, target, several=True)
    labels = _labels(view, params)
    if len(view.directions) > 1:
        return _figure(lambda: several_importances_figure(view, evaluator, labels))
    return _figure(lambda: value_importance_figure(view, _name(view, target_name), evaluator, labels))


def plot_pareto_front(
    study: Study,
    *,
    target_names: list[str] | None = None,
    include_dominated_trials: bool = True,
    axis_order: list[int] | None = None,
    constraints_func: Targets | None = None,
    targets: Targets | None = None,
) -> go.Figure:
    """The objectives of a study with two or three against each other: the Pareto front and what it dominates.

    ``targets`` says what is drawn of a trial instead, of a study with any number of objectives, which still
    decide on the front. The axes are named by ``target_names``, else as the study names its objectives;
    ``axis_order`` (of Optuna before 5) has the number of each axis' objective. A trial is infeasible where a
    constraint that it stored, or one that ``constraints_func`` gives, is above 0.
    """
    from orchestrator.plots.labels import literal
    from orchestrator.plots.pareto import pareto_figure
    from orchestrator.plots.view import StudyView

    if targets is None and len(study.directions) not in (2, 3):
        raise ValueError(
            f"The plot has two or three axes; the study's number of objectives is {len(study.directions)}. "
            "Choose what to draw by targets=lambda t: (t.values[0], t.duration.total_seconds())."
        )
    view = StudyView(study, study.get_trials(deepcopy=False))
    return _figure(
        lambda: pareto_figure(
            view,
            None if target_names is None else [literal(name) for name in target_names],
            targets=targets,
            axis_order=axis_order,
            include_dominated=include_dominated_trials,
            constraints=constraints_func,
        )
    )


def plot_timeline(study: Study, n_recent_trials: int | None = None) -> go.Figure:
    """When each trial ran, or each of the ``n_recent_trials`` latest, and what became of it."""
    from orchestrator.plots.timeline import trials_figure
    from orchestrator.plots.view import StudyView

    if n_recent_trials is not None and n_recent_trials <= 0:
        raise ValueError(f"n_recent_trials is {n_recent_trials}; give a number from 1 on, or None for all.")
    return _figure(lambda: trials_figure(StudyView(study, study.get_trials(deepcopy=False)), n_recent_trials))


def _view(study: Study, target: Target | None, several: bool = False) -> StudyView:
    from orchestrator.plots.view import StudyView

    if target is None and len(study.directions) > 1 and not several:
        raise ValueError(
            f"The study has {len(study.directions)} objectives and the plot shows one; "
            "choose it by target=lambda t: t.values[0]."
        )
    return StudyView(study, study.get_trials(deepcopy=False), target=target)


def _name(view: StudyView, target_name: str) -> str:
    """The axis' name: the study's own for its only objective, as Optuna has it."""
    from orchestrator.plots.labels import literal

    metric_names = view.source.metric_names
    if view.target is None and metric_names is not None and len(metric_names) == 1:
        return literal(metric_names[0])
    return literal(target_name)


def _labels(view: StudyView, params: list[str] | None) -> list[str] | None:
    """What the plot calls the parameters, which are named as stored or as people see them."""
    from orchestrator.plots.labels import shown_name

    if params is None:
        return None
    known = {shown_name(name): label for name, label in view.labels.items()} | view.labels
    missing = [name for name in params if name not in known]
    if missing:
        raise ValueError(f"Parameter {missing[0]!r} does not exist in your study; it has {', '.join(known)}.")
    return [known[name] for name in params]


def _figure(draw: Callable[[], go.Figure]) -> go.Figure:
    """The figure, or an empty one whose title says why."""
    from orchestrator.plots.style import UndrawableError, empty_figure, quiet

    try:
        with quiet():
            return draw()
    except UndrawableError as reason:
        return empty_figure(str(reason))
