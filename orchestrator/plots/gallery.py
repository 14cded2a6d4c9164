"""All plots of a summary, by name and in the order of the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import plotly.graph_objects as go

from orchestrator.plots.history import history_figure, intermediate_figure
from orchestrator.plots.importance import duration_importance_figure, value_importance_figure
from orchestrator.plots.pareto import pareto_figure
from orchestrator.plots.space import contour_figure, parallel_figure
from orchestrator.plots.speed import value_by_duration_figure
from orchestrator.plots.style import Plot, drawn
from orchestrator.plots.timeline import timeline_figure
from orchestrator.plots.utilisation import utilisation_figure
from orchestrator.plots.view import StudyView, objective_names
from orchestrator.records import AttemptRecord
from orchestrator.summary import Summary

Drawing = tuple[str, Callable[[], go.Figure]]


def figures(summary: Summary) -> dict[str, Plot]:
    """Every plot by name: a plotly figure, or ``Skipped`` with the reason why it cannot be drawn.

    The names are those of Optuna's functions, and ``value_by_duration`` and ``utilisation`` (the latter
    where slots are known). With several objectives, ``optimization_history``, ``contour``,
    ``param_importances`` and ``value_by_duration`` come once for each (``optimization_history_0`` …) and
    ``pareto_front`` is added. Never raises for what trials contain.
    """
    view = StudyView(summary.study, summary.trials)
    names = objective_names(summary.study)
    return {name: drawn(draw) for name, draw in _drawings(summary, view, names)}


def _drawings(summary: Summary, view: StudyView, names: list[str]) -> Iterator[Drawing]:
    single = len(names) == 1
    by_duration = partial(value_by_duration_figure, attempts=summary.attempts)
    parts = (
        [("", view, names[0])]
        if single
        else [(f"_{index}", view.of_objective(index), name) for index, name in enumerate(names)]
    )
    yield from (_bound(f"optimization_history{s}", history_figure, v, n) for s, v, n in parts)
    if not single:
        yield "pareto_front", lambda: pareto_figure(view, names)
    yield "intermediate_values", lambda: intermediate_figure(view)
    yield "parallel_coordinate", lambda: parallel_figure(view, names[0])
    yield from (_bound(f"contour{s}", contour_figure, v, n) for s, v, n in parts)
    yield from (_bound(f"param_importances{s}", value_importance_figure, v, n) for s, v, n in parts)
    yield "param_importances_duration", lambda: duration_importance_figure(view, summary.attempts)
    yield from (_bound(f"value_by_duration{s}", by_duration, v, n) for s, v, n in parts)
    yield "timeline", lambda: timeline_figure(view, summary.attempts)
    if summary.slots:
        yield "utilisation", lambda: utilisation_figure(summary.slots, _of_last_run(summary))


def _of_last_run(summary: Summary) -> list[AttemptRecord]:
    last = summary.runs[-1].run_id if summary.runs else None
    return [attempt for attempt in summary.attempts if attempt.run_id == last]


def _bound(key: str, draw: Callable[[StudyView, str], go.Figure], view: StudyView, name: str) -> Drawing:
    return key, lambda: draw(view, name)
