"""Where in the search space values lie: a view in, parallel coordinates and contours out."""

from __future__ import annotations

import math
from typing import Any

import optuna
import plotly.graph_objects as go
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from orchestrator.plots import thin
from orchestrator.plots.axes import scale_of, ticks
from orchestrator.plots.coordinates import dress_axes, objective_axis, parameter_axis
from orchestrator.plots.importance import importances
from orchestrator.plots.style import FULL_SCALE, UndrawableError, styled, titled
from orchestrator.plots.view import StudyView, not_shown, objective_names

MAX_CONTOUR_PARAMS = 4


def parallel_figure(view: StudyView, name: str, params: list[str] | None = None) -> go.Figure:
    """One line a trial through its value(s) and the given parameters (labels of the view), else all."""
    if not view.labels:
        raise UndrawableError("The trials have no parameters.")
    part, notes = thin.best_and_even(view, thin.MAX_PARALLEL)
    trials = [trial for trial in part.complete() if all(map(math.isfinite, trial.values))]
    if not trials:
        raise UndrawableError("No trial is complete with a finite value yet.")
    figure = optuna.visualization.plot_parallel_coordinate(part, params, target_name=name)
    figure = styled(figure, "Parallel coordinates", [*notes, *not_shown(view)], height=480)
    objectives = [name] if len(view.directions) == 1 else objective_names(view.source)
    shown = sorted(set(params or [label for trial in trials for label in trial.params]))
    values = zip(*(trial.values for trial in trials), strict=True)
    axes = [objective_axis(label, column) for label, column in zip(objectives, values, strict=True)]
    dress_axes(figure, [*axes, *(parameter_axis(label, trials) for label in shown)])
    _darken(figure)
    if len(axes) > 1:
        figure.update_traces(selector={"mode": "markers"}, marker_colorbar_title_text="Pareto rank")
    return figure


def _darken(figure: go.Figure) -> None:
    """Optuna's scale ends in white, which is no line on white paper: its light end becomes a clear blue."""
    figure.update_layout(plot_bgcolor="white")
    for trace in figure.data:
        if trace.mode == "lines" and str(trace.line.color).startswith("rgb("):
            trace.line.color = _clear(trace.line.color)
        elif trace.marker.colorscale is not None:
            trace.marker.colorscale = [(place, _clear(color)) for place, color in trace.marker.colorscale]


def _clear(color: str) -> str:
    channels = [float(part) for part in color[4:-1].split(",")]
    r, g, b = (round(min(value, most)) for value, most in zip(channels, (165, 203, 228), strict=True))
    return f"rgb({r},{g},{b})"


def contour_figure(view: StudyView, name: str, asked: list[str] | None = None) -> go.Figure:
    """The value over pairs of the asked parameters (labels of the view), else of the most important."""
    chosen, notes = (asked, []) if asked else _chosen(view)
    params = sorted(set(chosen))
    part, cut = thin.best_and_even(view, thin.MAX_CONTOUR)
    figure = optuna.visualization.plot_contour(part, params, target_name=name)
    if not any(trace.z is not None for trace in figure.data if trace.type == "contour"):
        raise UndrawableError("No pair of parameters varies together in complete trials.")
    cell = 190 if len(params) > 2 else 420
    figure = styled(
        figure,
        titled("Contour", name),
        [*notes, *cut, *not_shown(view)],
        height=cell * max(1, len(params) - 1) + 120,
    )
    figure.update_traces(selector={"type": "contour"}, colorscale=FULL_SCALE)
    figure.update_traces(
        selector={"type": "scatter"}, marker={"size": 5, "line": {"width": 1, "color": "white"}}
    )
    _calm_axes(figure, view, params)
    return figure


def _calm_axes(figure: go.Figure, view: StudyView, params: list[str]) -> None:
    """Few ticks that a parameter can have, and names short enough for a cell of the matrix."""
    matrix = len(params) > 2
    cells = [(x, y) for y in params for x in params] if matrix else [(params[0], params[1])]
    for index, (x, y) in enumerate(cells):
        number = index + 1 if index else ""
        _calm(figure.layout[f"xaxis{number}"], view.distribution(x), matrix)
        _calm(figure.layout[f"yaxis{number}"], view.distribution(y), matrix)


def _calm(axis: Any, distribution: BaseDistribution, matrix: bool) -> None:
    axis.update(showgrid=False, zeroline=False, tickfont={"size": 10 if matrix else 12})
    scale = scale_of(distribution)
    if scale is not None and axis.type != "category":
        low, high = (10**end if axis.type == "log" else end for end in axis.range)
        found = ticks(scale, low, high)
        axis.update(tickmode="array", tickvals=found.values, ticktext=found.texts, tickangle=0)
    if matrix and axis.title.text:
        text = (
            axis.title.text if len(axis.title.text) <= 18 else f"{axis.title.text[:8]}…{axis.title.text[-8:]}"
        )
        axis.update(title={"text": text, "font": {"size": 11}, "standoff": 6})


def _chosen(view: StudyView) -> tuple[list[str], list[str]]:
    trials = [trial for trial in view.complete() if abs(trial.values[0]) < float("inf")]
    varied = [name for name in sorted(view.labels.values()) if _varies(trials, name)]
    if len(varied) < 2:
        raise UndrawableError("A contour needs two parameters that differ between complete trials.")
    if len(varied) <= MAX_CONTOUR_PARAMS:
        return varied, []
    try:
        ranked = [param for param in importances(view) if param in varied]
        why = "most important by value (PED-ANOVA)"
    except UndrawableError:
        ranked, why = varied, "first by name, as importance is undefined"
    chosen = ranked[:MAX_CONTOUR_PARAMS]
    return chosen, [f"{len(chosen)} of {len(view.labels)} parameters: the {why}."]


def _varies(trials: list[FrozenTrial], name: str) -> bool:
    seen = (repr(trial.params[name]) for trial in trials if name in trial.params)
    first = next(seen, None)
    return any(value != first for value in seen)
