"""The objectives against each other: a view in; the Pareto front, and what it dominates, out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from orchestrator.plots import thin
from orchestrator.plots.hover import hover_text, named_lines, parameter_lines
from orchestrator.plots.style import GREY, LEGEND, VERMILLION, UndrawableError, styled
from orchestrator.plots.view import StudyView, not_shown, objective_names

Targets = Callable[[FrozenTrial], Sequence[float]]

_FRONT = "on the front"
_DESIGN = {"infeasible": ("#CBD5E1", 6), "dominated": (GREY, 6), _FRONT: (VERMILLION, 9)}  # the last on top
_SPACE_AXIS = {"gridcolor": "#CBD5E1", "zerolinecolor": "#CBD5E1", "showbackground": False, "nticks": 6}
_CAMERA = {"eye": {"x": 1.5, "y": 1.5, "z": 0.9}, "center": {"x": 0, "y": 0, "z": -0.15}}  # no corner is cut


@dataclass(frozen=True, slots=True)
class Point:
    """A trial where it is drawn: ``at`` holds its numbers in the order of the axes."""

    trial: FrozenTrial
    at: tuple[float, ...]


def pareto_figure(
    view: StudyView,
    names: Sequence[str] | None = None,
    *,
    targets: Targets | None = None,
    axis_order: Sequence[int] | None = None,
    include_dominated: bool = True,
    constraints: Targets | None = None,
) -> go.Figure:
    """The front, the trials that it dominates and those that break a constraint, in two or three dimensions.

    Args:
        view: all trials of a study.
        names: of the objectives or targets, as plotly text; default: those of the study.
        targets: what of a stored trial is drawn instead of its objectives, which still decide on the front.
        axis_order: the objectives by number, one for each axis.
        include_dominated: whether trials that are not on the front are drawn.
        constraints: of a stored trial, besides those it was stored with; one above 0 is broken.

    Raises ``ValueError`` where names, targets or axes do not go with each other.
    """
    count = _count(view, names, targets)
    names = list(names or _names(view, targets, count))
    if len(names) != count:
        raise ValueError(f"target_names has {len(names)} names for {count} targets; give one each.")
    order = _checked_order(axis_order, count, targets)
    groups = _groups(view, constraints, targets or (lambda trial: trial.values or ()), order)
    if not any(groups.values()):
        raise UndrawableError("No trial is complete with finite values yet, so there is no Pareto front.")
    notes = _notes(view, groups, include_dominated, targets)
    if not include_dominated:
        groups = groups | {"dominated": []}
    groups, cut = _thinned(groups)
    axes = [names[index] for index in order]
    traces = [_trace(group, points, axes) for group, points in groups.items() if points]
    said = [*notes, *cut, *not_shown(view)]
    figure = styled(go.Figure(traces), "Pareto front", said, height=460 if count == 2 else 600)
    return _with_axes(figure.update_layout(legend=LEGEND, showlegend=True), axes)


# What is drawn


def _count(view: StudyView, names: Sequence[str] | None, targets: Targets | None) -> int:
    """How many axes there are."""
    if targets is None:
        if len(view.directions) in (2, 3):
            return len(view.directions)
        raise UndrawableError(
            f"The Pareto front is drawn for two or three objectives; there {_are(len(view.directions))}."
        )
    found = {_length(targets, view.originals[trial.number]) for trial in view.complete()} or {
        len(names or ())
    }
    if len(found) > 1:
        raise ValueError(f"targets gives {min(found)} values of one trial and {max(found)} of another.")
    count = found.pop()
    if view.complete() and count not in (2, 3):
        raise ValueError(f"targets gives {count} values of a trial; the plot has two or three axes.")
    return count


def _are(count: int) -> str:
    return "is one" if count == 1 else f"are {count}"


def _length(targets: Targets, trial: FrozenTrial) -> int:
    values = targets(trial)
    if not isinstance(values, Sequence):
        raise ValueError(f"targets must give a sequence of numbers of a trial; it gave {values!r}.")
    return len(values)


def _names(view: StudyView, targets: Targets | None, count: int) -> list[str]:
    if targets is None:
        return objective_names(view.source)
    return [f"target {index}" for index in range(count)]


def _checked_order(given: Sequence[int] | None, count: int, targets: Targets | None) -> list[int]:
    """The number of each axis' objective. The rules are those of Optuna 3 and 4."""
    if given is None:
        return list(range(count))
    if targets is not None:
        raise ValueError("Give targets or axis_order, not both: targets may return its values in any order.")
    if sorted(given) != list(range(count)):
        each = " and ".join(map(str, range(count))) if count == 2 else "0, 1 and 2"
        raise ValueError(f"axis_order is {list(given)}; it must have {each} once each.")
    return list(given)


def _groups(
    view: StudyView, constraints: Targets | None, values: Targets, order: Sequence[int]
) -> dict[str, list[Point]]:
    """The points that can be drawn, by what became of the trial; those of the front along the first axis."""
    feasible = {trial.number for trial in view.complete() if _keeps(view, trial, constraints)}
    able = view if len(feasible) == len(view.complete()) else view.only(feasible)
    front = {trial.number for trial in able.best_trials}
    groups: dict[str, list[Point]] = {name: [] for name in _DESIGN}
    for number in (trial.number for trial in view.complete()):
        found = [float(value) for value in values(view.originals[number])]
        if all(map(math.isfinite, found)):
            kind = _FRONT if number in front else "dominated" if number in feasible else "infeasible"
            groups[kind].append(Point(view.originals[number], tuple(found[index] for index in order)))
    groups[_FRONT].sort(key=lambda point: point.at)
    return groups


def _keeps(view: StudyView, trial: FrozenTrial, constraints: Targets | None) -> bool:
    further = constraints(view.originals[trial.number]) if constraints is not None else ()
    return all(value <= 0 for value in (*trial.constraints.values(), *further))


def _thinned(groups: dict[str, list[Point]]) -> tuple[dict[str, list[Point]], list[str]]:
    """Of many points an even sample of each group, and what to say."""
    count = sum(map(len, groups.values()))
    if count <= thin.MAX_FRONT:
        return groups, []
    limit = thin.MAX_FRONT // sum(map(bool, groups.values()))
    kept = {name: thin.evenly(points, limit) for name, points in groups.items()}
    drawn = sum(map(len, kept.values()))
    what = "the front and an even sample" if kept[_FRONT] == groups[_FRONT] else "an even sample of each kind"
    return kept, [f"{drawn:,} of {count:,} trials are drawn: {what}."]


def _notes(
    view: StudyView, groups: dict[str, list[Point]], include_dominated: bool, targets: Targets | None
) -> list[str]:
    pairs = zip(objective_names(view.source), view.directions, strict=True)
    better = [f"{'higher' if way == StudyDirection.MAXIMIZE else 'lower'} {name}" for name, way in pairs]
    notes = [f"{'The front is that of the objectives. ' if targets else ''}Better: {', '.join(better)}."]
    if groups["infeasible"] and not groups[_FRONT]:
        notes.append("No trial keeps its constraints, so none is on the front.")
    count = len(groups["dominated"])
    if count and not include_dominated:
        notes.append(f"{count:,} dominated {'trial is' if count == 1 else 'trials are'} left out.")
    return notes


# How it is drawn


def _trace(group: str, points: Sequence[Point], axes: Sequence[str]) -> go.Scatter | go.Scatter3d:
    color, size = _DESIGN[group]
    kind = go.Scatter if len(axes) == 2 else go.Scatter3d
    columns = zip(*(point.at for point in points), strict=True)
    return kind(
        **dict(zip("xyz", columns, strict=False)),
        name=group,
        mode="markers",
        marker={"color": color, "size": size if len(axes) == 2 else size / 2, "line": {"width": 0}},
        text=[_hover(group, point, axes) for point in points],
        hovertemplate="%{text}<extra></extra>",
    )


def _hover(group: str, point: Point, axes: Sequence[str]) -> str:
    heading = f"trial {point.trial.number}: {group}"
    return hover_text(heading, named_lines(axes, point.at), parameter_lines(point.trial))


def _with_axes(figure: go.Figure, names: Sequence[str]) -> go.Figure:
    if len(names) == 2:
        return figure.update_layout(xaxis_title_text=names[0], yaxis_title_text=names[1])
    axes = zip(("xaxis", "yaxis", "zaxis"), names, strict=True)
    scene = {axis: {"title": {"text": name}, **_SPACE_AXIS} for axis, name in axes}
    return figure.update_layout(scene={**scene, "camera": _CAMERA}, legend_itemsizing="constant")
