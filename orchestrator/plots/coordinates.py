"""The axes of parallel coordinates: Optuna's figure in, the same with our names, ticks and words out."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from orchestrator.plots.axes import Scale, scale_of, ticks

NOT_USED = "not used"
_NONE = (
    "None (value)"  # Optuna's word for the choice None where "None" stands for trials without the parameter
)
_MOST_TICKS = 6
_MARK = {"showarrow": False, "xanchor": "right", "xshift": -4, "font": {"size": 10, "color": "#555"}}
_PAPER = {"bgcolor": "rgba(255,255,255,0.8)", "borderpad": 0}


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis shows: an objective or a parameter, which some trials may lack.

    ``scale`` is None for choices, numbers or not: each has its own place.
    """

    name: str
    values: tuple[Any, ...]  # of the trials that have one
    scale: Scale | None
    some_lack: bool


@dataclass(frozen=True, slots=True)
class Line:
    """The numbers on an axis: from ``low`` at the height ``bottom`` to ``high`` at the height ``top``."""

    low: float
    high: float
    bottom: float
    top: float
    scale: Scale

    def height(self, value: float) -> float:
        """Where a value is; all are at the top where there is but one."""
        if self.low == self.high:
            return self.top
        low, high, at = (math.log(v) if self.scale.log else v for v in (self.low, self.high, value))
        return self.bottom + (at - low) / (high - low) * (self.top - self.bottom)

    def value(self, height: float) -> float:
        """What is there; the inverse of :meth:`height`."""
        if self.low == self.high:
            return self.low
        part = (height - self.bottom) / (self.top - self.bottom)
        if self.scale.log:
            return float(self.low * (self.high / self.low) ** part)
        return self.low + part * (self.high - self.low)


def objective_axis(name: str, values: Sequence[float]) -> Axis:
    """The axis of an objective."""
    return Axis(name, tuple(values), Scale(), some_lack=False)


def parameter_axis(name: str, trials: Sequence[FrozenTrial]) -> Axis:
    """The axis of a parameter of at least one of the trials."""
    having = [trial for trial in trials if name in trial.params]
    values = tuple(trial.params[name] for trial in having)
    return Axis(name, values, _scale(having[0].distributions[name]), len(having) < len(trials))


def _scale(distribution: BaseDistribution) -> Scale | None:
    return None if hasattr(distribution, "choices") else scale_of(distribution)


def dress_axes(figure: go.Figure, axes: Sequence[Axis]) -> None:
    """Give Optuna's figure our names, ticks and hover texts, in place; the axes are in the figure's order."""
    marks = [[m for m in figure.layout.annotations if m.x == place] for place in range(len(axes))]
    lines = [_line(axis, drawn) for axis, drawn in zip(axes, marks, strict=True)]
    figure.layout.annotations = [
        {"x": place, "y": height, "text": text, **_MARK, **_PAPER}
        for place, axis in enumerate(axes)
        for height, text in _marks(axis, lines[place], marks[place])
    ]
    for trace in figure.data:
        if trace.customdata is not None:
            said = zip(axes, lines, trace.y, trace.customdata, strict=True)
            trace.customdata = [[axis.name, _said(axis, line, y, data[1])] for axis, line, y, data in said]
    _name_axes(figure, [axis.name for axis in axes])


def _line(axis: Axis, drawn: Sequence[Any]) -> Line | None:
    """Optuna marks the least and the greatest value; before them the trials that lack the parameter."""
    if axis.scale is None:
        return None
    bottom, top = drawn[1 if axis.some_lack else 0].y, drawn[-1].y
    return Line(float(min(axis.values)), float(max(axis.values)), bottom, top, axis.scale)


def _marks(axis: Axis, line: Line | None, drawn: Sequence[Any]) -> list[tuple[float, str]]:
    """Heights and texts of an axis' ticks."""
    if line is None:
        texts = [mark.text.replace(_NONE, "None") for mark in drawn]
        marks = [(mark.y, _short(text)) for mark, text in zip(drawn, texts, strict=True)]
        return [(0.0, NOT_USED), *marks[1:]] if axis.some_lack else marks
    found = ticks(line.scale, line.low, line.high, _MOST_TICKS)
    marks = [(line.height(value), text) for value, text in zip(found.values, found.texts, strict=True)]
    return [(0.0, NOT_USED), *marks] if axis.some_lack else marks


def _short(text: str) -> str:
    return text if len(text) <= 14 else f"{text[:6]}…{text[-6:]}"


def _said(axis: Axis, line: Line | None, height: float, text: str) -> str:
    """What a line's hover says at an axis; ``text`` is what Optuna made it say."""
    if axis.some_lack and height == 0:
        return NOT_USED
    if line is None:
        return text.replace(_NONE, "None")
    value = line.value(height)
    return f"{value:.0f}" if line.scale.integer else f"{value:.6g}"


def _name_axes(figure: go.Figure, names: Sequence[str]) -> None:
    """Optuna cuts axis names at 17 characters; ours are short already and broken into lines."""
    width = max(8, 105 // len(names))
    broken = ["<br>".join(textwrap.wrap(re.sub(r"([_:./])", r"\1 ", name), width)) for name in names]
    ticktext = [re.sub(r"([_:./]) ", r"\1", name) for name in broken]
    figure.update_xaxes(
        ticktext=ticktext, tickangle=0 if len(names) <= 12 else 60, tickfont_size=12, title_text=""
    )
    figure.update_xaxes(range=(-0.35, len(names) - 0.9), ticklabeloverflow="allow")
