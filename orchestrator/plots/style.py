"""One design for all figures: a bare plotly figure in, one that is legible on white at 900 pixels out."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import optuna
import plotly.graph_objects as go

# Okabe and Ito's palette: told apart with any common colour blindness (jfly.uni-koeln.de/color)
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, GREY, INK = "#CC79A7", "#56B4E9", "#8A94A3", "#1F2937"
SCALE = ["#CFE3F1", "#8FC1DF", "#4393C3", "#0B5C9E", "#052F61"]  # its light end still shows on white
FULL_SCALE = [[i / (len(SCALE) - 1), color] for i, color in enumerate(SCALE)]

WIDTH = 900
_FEW_STEPS = 8  # on an axis of whole numbers, each of which then has its tick
_LINE = 21  # height of a line of notes
_CHARACTERS = 125  # that fit beside each other at 12 px
HALF = 68  # of a figure that stands beside another
_GRID = {
    "gridcolor": "#E5E7EB",
    "linecolor": "#9CA3AF",
    "zerolinecolor": "#D1D5DB",
    "automargin": True,
    "title": {"font": {"size": 13}, "standoff": 12},
}
_COLORBAR = {"thickness": 16, "title": {"font": {"size": 12}}, "tickfont": {"size": 11}}
LEGEND = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.0, "yanchor": "bottom"}  # above the plot

PLAIN_NAMES = ("objective value", "Objective Value")  # ours and Optuna's, for an objective without a name


@dataclass(frozen=True, slots=True)
class Skipped:
    """A plot that cannot be drawn for this study, and why, in a sentence for people."""

    reason: str


Plot: TypeAlias = go.Figure | Skipped


class UndrawableError(Exception):
    """Raised inside this package when data does not carry a plot; its text becomes ``Skipped.reason``."""


def template() -> go.layout.Template:
    """Fonts, margins and colours that all our figures share. The paper is white in dark pages too."""
    font = {"family": "system-ui, 'Segoe UI', 'DejaVu Sans', Arial, sans-serif", "size": 13, "color": INK}
    layout = go.Layout(
        font=font,
        colorway=[BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY],
        paper_bgcolor="white",
        plot_bgcolor="white",
        xaxis=_GRID,
        yaxis=_GRID,
        hoverlabel={"align": "left", "font": {"size": 12}},
        colorscale={"sequential": FULL_SCALE},
    )
    data = {
        "contour": [{"type": "contour", "colorbar": _COLORBAR}],
        "scatter": [{"type": "scatter", "marker": {"colorbar": _COLORBAR}}],
    }
    return go.layout.Template(layout=layout, data=data)


def styled(
    figure: go.Figure,
    title: str,
    notes: Sequence[str] = (),
    height: int = 460,
    characters: int = _CHARACTERS,
) -> go.Figure:
    """Give the figure our design, its title and, below it, the notes a reader must know.

    ``height`` is that of the plot without title and notes, in pixels; ``characters`` how many of the notes
    are on a line. Title and notes are plotly text:
    escape what people wrote. The notes also stand in ``figure.layout.meta["notes"]``.
    """
    lines = [line for note in notes for line in _wrapped(note, characters)]
    small = "".join(f"<br><span style='font-size:12px;color:#4B5563'>{line}</span>" for line in lines)
    top = 68 + _LINE * len(lines)
    heading = {
        "text": f"<b>{title}</b>{small}",
        "font": {"size": 16},
        "xref": "container",
        "yref": "container",
    }
    place = {
        "x": 0.02,
        "xanchor": "left",
        "y": 1.0,
        "yanchor": "top",
        "pad": {"t": 28 if lines else 16},
    }  # plotly lifts titles of several lines
    return figure.update_layout(
        template=template(),
        title={**heading, **place},
        height=height + top,
        margin={"l": 70, "r": 30, "t": top, "b": 60},
        modebar={"remove": ["sendChartToCloud"]},  # plotly 7 offers to upload the chart to its cloud
        meta={"notes": list(notes)},
    )


def _wrapped(note: str, characters: int) -> list[str]:
    """The note in lines; «10 %» is not torn apart."""
    lines = textwrap.wrap(note.replace(" %", "\u00a0%"), characters)
    return [line.replace("\u00a0%", " %") for line in lines]


def count_axis(figure: go.Figure, title: str) -> None:
    """Make the x axis, in place, one of whole numbers: plotly would put 0.5 between two of them."""
    ends = [end for trace in figure.data if trace.x is not None and len(trace.x) for end in trace.x]
    few = bool(ends) and max(ends) - min(ends) <= _FEW_STEPS
    figure.update_xaxes(title_text=title, dtick=1 if few else None)


def empty_figure(reason: str) -> go.Figure:
    """A figure without data that says why it has none."""
    return styled(go.Figure(), "No plot", [reason], height=120).update_layout(
        xaxis_visible=False, yaxis_visible=False
    )


def titled(title: str, name: str) -> str:
    """The title, with the objective's name where it has one of its own."""
    return title if name in PLAIN_NAMES else f"{title}: {name}"


def drawn(draw: Callable[[], go.Figure]) -> Plot:
    """The figure, or why there is none. A report must not fail for one plot, so no error leaves."""
    try:
        with quiet():
            return draw()
    except UndrawableError as reason:
        return Skipped(str(reason))
    except Exception as error:  # unforeseen data in Optuna or plotly; the reason names it
        return Skipped(f"This plot could not be drawn ({type(error).__name__}: {error}).")


@contextmanager
def quiet() -> Iterator[None]:
    """Within the block, Optuna's warnings and log lines about plots stay away; the caller's levels return."""
    level = optuna.logging.get_verbosity()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optuna.logging.set_verbosity(optuna.logging.CRITICAL)
        try:
            yield
        finally:
            optuna.logging.set_verbosity(level)
