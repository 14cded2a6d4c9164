"""How the values went: a view in, history and intermediate values out."""

from __future__ import annotations

import optuna
import plotly.graph_objects as go

from orchestrator.plots import thin
from orchestrator.plots.style import (
    BLUE,
    GREY,
    LEGEND,
    ORANGE,
    VERMILLION,
    UndrawableError,
    count_axis,
    styled,
    titled,
)
from orchestrator.plots.view import StudyView, finite, not_shown


def history_figure(view: StudyView, name: str) -> go.Figure:
    """Every value by trial number of a view with one objective; the best so far unless it has a target."""
    if not finite(view.complete(), lambda trial: trial.values[0]):
        raise UndrawableError("No trial is complete with a finite value yet.")
    figure, cut = _thinned_history(view, name)
    figure.update_traces(selector={"mode": "lines"}, name="best so far", line={"shape": "hv", "width": 2.5})
    figure.update_traces(selector={"mode": "markers"}, marker={"size": 6, "opacity": 0.65})
    if view.target is not None:  # nobody said which direction of a target is better
        figure.data = [trace for trace in figure.data if trace.mode != "lines"]
    figure = styled(figure, titled("Optimization history", name), [*not_shown(view), *cut])
    count_axis(figure, "trial number")
    figure.update_yaxes(title_text=name)
    return figure.update_layout(legend=LEGEND)


def _thinned_history(view: StudyView, name: str) -> tuple[go.Figure, list[str]]:
    """Optuna's figure from the trials that show: those drawn as dots, and those that change the best."""
    count = len(view.complete())
    if count <= thin.MAX_POINTS:
        return optuna.visualization.plot_optimization_history(view, target_name=name), []
    dots = thin.dots(view)
    numbers = sorted(dots | thin.records(view))
    figure = optuna.visualization.plot_optimization_history(view.at_places(numbers), target_name=name)
    for trace in figure.data:
        seen = [(numbers[x], y) for x, y in zip(trace.x, trace.y, strict=True)]
        kept = [point for point in seen if trace.mode == "lines" or point[0] in dots]
        trace.update(x=[x for x, _ in kept], y=[y for _, y in kept])
    thin.thin_points(figure)
    return figure, [f"{len(dots):,} of {count:,} trials are drawn as dots, evenly; the line uses all."]


def compared_figure(views: list[StudyView], name: str, error_bar: bool) -> go.Figure:
    """The histories of several studies beside each other, or their mean with error bars."""
    target = (lambda trial: trial.values[0]) if any(view.target for view in views) else None
    figure = optuna.visualization.plot_optimization_history(
        views, target=target, target_name=name, error_bar=error_bar
    )
    if not figure.data:
        raise UndrawableError("No trial is complete yet.")
    notes = [*(note for view in views for note in not_shown(view)), *thin.thin_points(figure)]
    figure = styled(figure, "Optimization history", notes)
    count_axis(figure, "trial number")
    return figure.update_yaxes(title_text=name)


def intermediate_figure(view: StudyView) -> go.Figure:
    """What trials reported while they ran: pruned ones, complete ones, and the best one above them."""
    if len(view.directions) > 1:
        raise UndrawableError("Trials with several objectives report no intermediate values.")
    reporting = [trial for trial in view.get_trials() if trial.intermediate_values]
    if not reporting:
        raise UndrawableError(
            "No trial reported intermediate values (trial.report), so none was pruned by them."
        )
    best = {trial.number for trial in view.best_first()[:1]}
    numbers = {*thin.evenly([trial.number for trial in reporting], thin.MAX_LINES), *best}
    part = view.only(numbers)
    figure = optuna.visualization.plot_intermediate_values(part)
    _color_by_outcome(figure, part, best)
    cut = f"{len(figure.data):,} of {len(reporting):,} trials are drawn: an even sample, and the best."
    figure = styled(figure, "Intermediate values", [cut] if len(reporting) > len(numbers) else [])
    count_axis(figure, "step")
    figure.update_yaxes(title_text="reported value")
    return figure.update_layout(showlegend=True, legend=LEGEND)


def _color_by_outcome(figure: go.Figure, view: StudyView, best: set[int]) -> None:
    """One colour for what became of a trial; a legend entry for each colour; the best line on top."""
    colors = {"best": VERMILLION, "complete": BLUE, "pruned": ORANGE, "running": GREY}
    states = {trial.number: trial.state for trial in view.get_trials()}
    named: set[str] = set()
    for trace in figure.data:
        number = int(trace.name.removeprefix("Trial"))
        outcome = "best" if number in best else states[number].name.lower()
        top = outcome == "best"
        trace.update(
            line={"color": colors[outcome], "width": 3 if top else 1.2},
            opacity=1.0 if top else 0.55,
            marker={"size": 4},
            legendgroup=outcome,
            showlegend=outcome not in named,
            name=outcome,
            hovertemplate=f"trial {number}, step %{{x}}: %{{y}}<extra></extra>",
        )
        named.add(outcome)
    figure.data = sorted(figure.data, key=lambda trace: trace.name == "best")
