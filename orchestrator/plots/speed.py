"""Good against quick: a view of one objective and attempts in, values over durations with their front out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from orchestrator.plots import thin
from orchestrator.plots.hover import hover_text, parameter_lines
from orchestrator.plots.importance import durations
from orchestrator.plots.style import BLUE, LEGEND, VERMILLION, UndrawableError, styled, titled
from orchestrator.plots.view import StudyView, not_shown
from orchestrator.records import AttemptRecord

_WIDE = 20.0  # times the shortest duration: a log axis shows the short ones, too

Point = tuple[float, float, FrozenTrial]  # seconds, value, trial as it is stored


def value_by_duration_figure(view: StudyView, name: str, attempts: Sequence[AttemptRecord]) -> go.Figure:
    """Each complete trial by its duration and value; a line through those that no other beats in both."""
    found = durations(view.complete(), attempts)
    points = _points(view, found.seconds)
    if not points:
        raise UndrawableError("No complete trial has both a finite value and a known duration yet.")
    best = front(points, higher_is_better=view.directions[0] == StudyDirection.MAXIMIZE)
    on_front = {trial.number for _, _, trial in best}
    others = [point for point in points if point[2].number not in on_front]
    dots = thin.evenly(others, thin.MAX_FRONT)
    lines = thin.evenly(best, thin.MAX_FRONT)
    cut = f"{len(dots):,} of {len(others):,} other trials are drawn, evenly."
    notes = [_better(view), *found.notes, *([cut] if len(dots) < len(others) else []), *not_shown(view)]
    traces = [_dots(dots, name)] if dots else []
    figure = go.Figure([*traces, _line(lines, name)])
    figure = styled(figure, titled("Value against duration", name), notes)
    is_wide = points[0][0] > 0 and points[-1][0] > _WIDE * points[0][0]
    figure.update_xaxes(title_text="duration (s)", type="log" if is_wide else "linear")
    figure.update_yaxes(title_text=name)
    return figure.update_layout(showlegend=True, legend=LEGEND)


def _points(view: StudyView, seconds: dict[int, float]) -> list[Point]:
    """The trials that can be drawn, the quickest first."""
    known = [trial for trial in view.complete() if trial.number in seconds and math.isfinite(trial.values[0])]
    found = [(seconds[t.number], float(t.values[0]), view.originals[t.number]) for t in known]
    return sorted(found, key=lambda point: (point[0], point[2].number))


def front(points: Sequence[Point], higher_is_better: bool) -> list[Point]:
    """Of points in order of their seconds those that are better than every quicker one."""
    sign = -1.0 if higher_is_better else 1.0
    kept: list[Point] = []
    for point in sorted(points, key=lambda point: (point[0], sign * point[1])):
        if not kept or sign * point[1] < sign * kept[-1][1]:
            kept.append(point)
    return kept


def _better(view: StudyView) -> str:
    better = "higher" if view.directions[0] == StudyDirection.MAXIMIZE else "lower"
    return f"Better: {better} and to the left. On the line are the trials that no other beats in both."


def _dots(points: Sequence[Point], name: str) -> go.Scatter:
    return _scatter(points, name, "others", mode="markers", marker={"color": BLUE, "size": 6, "opacity": 0.6})


def _line(points: Sequence[Point], name: str) -> go.Scatter:
    design = {"color": VERMILLION, "size": 9, "symbol": "diamond"}
    line = {"color": VERMILLION, "width": 1.5, "shape": "hv"}
    return _scatter(points, name, "on the front", mode="lines+markers", marker=design, line=line)


def _scatter(points: Sequence[Point], name: str, group: str, **design: object) -> go.Scatter:
    return go.Scatter(
        x=[seconds for seconds, _, _ in points],
        y=[value for _, value, _ in points],
        name=group,
        text=[
            hover_text(
                f"trial {trial.number}: {group}",
                [f"{name} {value:.6g}", f"{seconds:.4g} s"],
                parameter_lines(trial),
            )
            for seconds, value, trial in points
        ],
        hovertemplate="%{text}<extra></extra>",
        **design,
    )
