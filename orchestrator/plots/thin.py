"""Large studies stay light: many trials or points in, a stated sample of them out."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from typing import Any, TypeVar

import numpy as np
import plotly.graph_objects as go
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from orchestrator.plots.view import StudyView

MAX_POINTS = 5000  # markers of one trace
MAX_RANKED = 20_000  # trials from which importances are computed
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


def even(view: StudyView, among: Container[int] | None = None) -> StudyView:
    """The complete trials; of many an even sample that is large enough for statistics."""
    complete = _complete(view, among)
    if among is None and len(complete) <= MAX_RANKED:
        return view
    return view.only(set(evenly(complete, MAX_RANKED)))


def said_of_even(view: StudyView, among: Container[int] | None = None) -> list[str]:
    """What to say of :func:`even`."""
    count = len(_complete(view, among))
    if count <= MAX_RANKED:
        return []
    return [f"From {MAX_RANKED:,} of {count:,} complete trials, an even sample."]


def _complete(view: StudyView, among: Container[int] | None) -> list[int]:
    return [trial.number for trial in view.complete() if among is None or trial.number in among]


def dots(view: StudyView, limit: int = MAX_POINTS) -> set[int]:
    """The numbers of the complete trials that a history of one objective shows: evenly, and the extremes."""
    complete = view.complete()
    values = [trial.values[0] for trial in complete]
    return {complete[place].number for place in _sample(values, limit)}


def records(view: StudyView) -> set[int]:
    """The numbers of the trials at which the best value so far changes, and of the first and the last."""
    sign = -1.0 if view.directions[0] == StudyDirection.MAXIMIZE else 1.0
    found, best = set(), math.inf
    for trial in view.complete():
        if sign * trial.values[0] < best and _is_feasible(trial):
            best = sign * trial.values[0]
            found.add(trial.number)
    return found | {view.get_trials()[end].number for end in (0, -1)}


def _is_feasible(trial: FrozenTrial) -> bool:
    return all(constraint <= 0 for constraint in trial.constraints.values())


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
