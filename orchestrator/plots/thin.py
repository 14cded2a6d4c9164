"""Large studies stay light: many trials or points in, a stated sample of them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import plotly.graph_objects as go

from orchestrator.plots.view import StudyView

MAX_POINTS = 5000  # markers of one trace
MAX_LINES = 200  # traces of intermediate values
MAX_PARALLEL = 500  # one trace a trial in Optuna's parallel coordinates
MAX_CONTOUR = 80  # the grid of a contour grows with the square of this
MAX_FRONT = 1500  # markers with hover texts
MAX_BARS = 2000  # bars of a timeline

T = TypeVar("T")


def evenly(items: Sequence[T], limit: int) -> list[T]:
    """At most ``limit`` items in their order, evenly spaced, the first and the last among them."""
    if len(items) <= limit:
        return list(items)
    picks = np.unique(np.linspace(0, len(items) - 1, limit).round().astype(int))
    return [items[int(pick)] for pick in picks]


def best_and_even(view: StudyView, limit: int, what: str = "trials") -> tuple[StudyView, list[str]]:
    """The best complete trials (a quarter of ``limit``) and an even sample of the others, and what to say."""
    ranked = view.best_first()
    if len(ranked) <= limit:
        return view, []
    best = {trial.number for trial in ranked[: limit // 4]}
    others = [trial.number for trial in view.complete() if trial.number not in best]
    numbers = best | set(evenly(others, limit - len(best)))
    note = f"{len(numbers):,} of {len(ranked):,} {what} are drawn: the best {len(best):,} and an even sample."
    return view.only(numbers), [note]


def thin_points(figure: go.Figure, limit: int = MAX_POINTS) -> list[str]:
    """Drop points of long traces in place: extremes and every step of a line stay. Returns what to say."""
    notes = []
    for trace in figure.data:
        count = 0 if trace.x is None else len(trace.x)
        if count <= limit:
            continue
        kept = _steps(trace.y) if trace.mode == "lines" else _sample(trace.y, limit)
        trace.update(x=np.asarray(trace.x)[kept], y=np.asarray(trace.y)[kept])
        if trace.mode != "lines":
            notes.append(f"{len(kept):,} of {count:,} trials are drawn as dots, evenly; the line uses all.")
    return notes


def _sample(values: Any, limit: int) -> list[int]:
    y = np.asarray(values, dtype=float)
    extremes = {int(np.nanargmin(y)), int(np.nanargmax(y))} if np.isfinite(y).any() else set()
    return sorted(extremes | set(evenly(range(len(y)), limit)))


def _steps(values: Any) -> list[int]:
    """Where a stepped line changes, with both ends: nothing that the eye could see is lost."""
    y = np.asarray(values, dtype=float)
    changes = np.flatnonzero(~np.isclose(y[1:], y[:-1], rtol=0, atol=0, equal_nan=True)) + 1
    return sorted({0, len(y) - 1, *changes.tolist()})
