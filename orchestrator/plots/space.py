"""Where in the search space values lie: a view in, parallel coordinates and contours out."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import optuna
import plotly.graph_objects as go
from optuna.trial import FrozenTrial

from orchestrator.plots import thin
from orchestrator.plots.importance import importances
from orchestrator.plots.style import FULL_SCALE, UndrawableError, styled, titled
from orchestrator.plots.view import StudyView, finite

MAX_CONTOUR_PARAMS = 4


def parallel_figure(view: StudyView, name: str, params: list[str] | None = None) -> go.Figure:
    """One line a trial through its value(s) and the given parameters (labels of the view), else all."""
    if not finite(view.complete(), lambda trial: trial.values[0]):
        raise UndrawableError("No trial is complete with a finite value yet.")
    if not view.labels:
        raise UndrawableError("The trials have no parameters.")
    part, notes = thin.best_and_even(view, thin.MAX_PARALLEL)
    figure = optuna.visualization.plot_parallel_coordinate(part, params, target_name=name)
    figure = styled(figure, "Parallel coordinates", notes, height=480)
    _name_axes(figure, params or [name for trial in part.complete() for name in trial.params])
    _darken(figure)
    return figure


def _name_axes(figure: go.Figure, names: list[str]) -> None:
    """Optuna cuts axis names at 17 characters; ours are short already and broken into lines."""
    params = sorted(set(names))
    axes = list(figure.layout.xaxis.ticktext)
    axes[len(axes) - len(params) :] = params
    width = max(8, 105 // len(axes))
    broken = ["<br>".join(textwrap.wrap(re.sub(r"([_:./])", r"\1 ", name), width)) for name in axes]
    ticktext = [re.sub(r"([_:./]) ", r"\1", name) for name in broken]
    figure.update_xaxes(
        ticktext=ticktext, tickangle=0 if len(axes) <= 12 else 60, tickfont_size=12, title_text=""
    )
    figure.update_xaxes(range=(-0.35, len(axes) - 0.9), ticklabeloverflow="allow")
    for tick in figure.layout.annotations:
        text = tick.text if len(tick.text) <= 14 else f"{tick.text[:6]}…{tick.text[-6:]}"
        tick.update(text=text, bgcolor="rgba(255,255,255,0.8)", borderpad=0)


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
    params, notes = (sorted(set(asked)), []) if asked else _chosen(view)
    part, cut = thin.best_and_even(view, thin.MAX_CONTOUR)
    figure = optuna.visualization.plot_contour(part, params, target_name=name)
    if not any(trace.z is not None for trace in figure.data if trace.type == "contour"):
        raise UndrawableError("No pair of parameters varies together in complete trials.")
    cell = 190 if len(params) > 2 else 420
    figure = styled(figure, titled("Contour", name), notes + cut, height=cell * max(1, len(params) - 1) + 120)
    figure.update_traces(selector={"type": "contour"}, colorscale=FULL_SCALE)
    figure.update_traces(
        selector={"type": "scatter"}, marker={"size": 5, "line": {"width": 1, "color": "white"}}
    )
    _calm_axes(figure, matrix=len(params) > 2)
    return figure


def _calm_axes(figure: go.Figure, matrix: bool) -> None:
    """Few ticks, whole decades on log axes, and names short enough for a cell of the matrix."""
    figure.for_each_xaxis(lambda axis: _calm(axis, matrix))
    figure.for_each_yaxis(lambda axis: _calm(axis, matrix))


def _calm(axis: Any, matrix: bool) -> None:
    axis.update(showgrid=False, zeroline=False, tickfont={"size": 10 if matrix else 12}, nticks=5)
    if axis.type == "log":
        decades = abs(axis.range[1] - axis.range[0])
        axis.update(
            dtick=max(1, round(decades / 3)) if decades >= 1.5 else None,
            tickformat=".0e" if decades >= 1.5 else ".1e",
        )
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
    return len({repr(trial.params[name]) for trial in trials if name in trial.params}) > 1
