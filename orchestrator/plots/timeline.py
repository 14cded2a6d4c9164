"""When and where trials ran: attempts in, one lane per slot out; without attempts, Optuna's timeline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import optuna
import plotly.graph_objects as go
from optuna.trial import FrozenTrial, TrialState

from orchestrator.names import shown_name
from orchestrator.plots import thin
from orchestrator.plots.labels import literal
from orchestrator.plots.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LEGEND,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    UndrawableError,
    styled,
)
from orchestrator.plots.view import StudyView
from orchestrator.records import AttemptRecord

_COLORS = {
    "complete": BLUE,
    "pruned": ORANGE,
    "failed": VERMILLION,
    "lost": INK,
    "released": GREY,
    "running": GREEN,
    "waiting": SKY,
}
_OUTCOMES = {"pruned": "pruned", "raised": "failed"}  # a cause's outcome where it is plain
_STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


def timeline_figure(view: StudyView, attempts: Sequence[AttemptRecord]) -> go.Figure:
    """Attempts on the lanes of their slots; Optuna's timeline by trial where no attempts were kept."""
    return _by_slot(view, attempts) if attempts else _by_trial(view)


def _by_slot(view: StudyView, attempts: Sequence[AttemptRecord]) -> go.Figure:
    recent = sorted(attempts, key=lambda attempt: attempt.start)[-thin.MAX_BARS :]
    lanes = _lanes(recent)
    last = max(attempt.end or attempt.start for attempt in recent)
    figure = go.Figure()
    for outcome, group in _by_outcome(view, recent).items():
        figure.add_trace(_bars(view, outcome, group, lanes, last))
    notes = _recent(len(recent), len(attempts), "attempts")
    order = list(dict.fromkeys(lanes.values()))
    lane_px = max(20, min(36, 1400 // len(order)))
    figure = styled(figure, "Timeline by slot", notes, height=90 + lane_px * len(order))
    figure.update_xaxes(title_text="time (UTC)", type="date")
    figure.update_yaxes(title_text="", type="category", categoryorder="array", categoryarray=order[::-1])
    return figure.update_layout(barmode="overlay", bargap=0.25, showlegend=True, legend=LEGEND)


def _lanes(attempts: Iterable[AttemptRecord]) -> dict[tuple[str, int, int], str]:
    """Labels of the lanes in their order: host, rank, slot."""
    keys = sorted({(attempt.host, attempt.rank, attempt.slot) for attempt in attempts})
    return {key: f"{literal(key[0])} · rank {key[1]} · slot {key[2]}" for key in keys}


def _by_outcome(view: StudyView, attempts: Sequence[AttemptRecord]) -> dict[str, list[AttemptRecord]]:
    groups: dict[str, list[AttemptRecord]] = {}
    for attempt in attempts:
        groups.setdefault(outcome(attempt, view.originals.get(attempt.trial_number)), []).append(attempt)
    known = [name for name in _COLORS if name in groups]
    return {name: groups[name] for name in (*known, *sorted(groups.keys() - _COLORS.keys()))}


def outcome(attempt: AttemptRecord, trial: FrozenTrial | None) -> str:
    """What an attempt came to, in a word: «complete», «pruned», «failed», «running», else its cause."""
    if attempt.cause is None:
        return "running" if attempt.end is None else "ended"
    if attempt.cause == "returned":
        return "complete" if trial is None else _STATES.get(trial.state, "complete")
    return _OUTCOMES.get(attempt.cause, attempt.cause.replace("_", " "))


def _bars(
    view: StudyView,
    name: str,
    attempts: Sequence[AttemptRecord],
    lanes: dict[tuple[str, int, int], str],
    last: datetime,
) -> go.Bar:
    seconds = [((attempt.end or last) - attempt.start).total_seconds() for attempt in attempts]
    return go.Bar(
        name=literal(name),
        base=[attempt.start.isoformat() for attempt in attempts],
        x=[1000 * length for length in seconds],  # plotly counts dates in ms
        y=[lanes[(attempt.host, attempt.rank, attempt.slot)] for attempt in attempts],
        orientation="h",
        marker={"color": _COLORS.get(name, PURPLE), "line": {"color": "white", "width": 0.5}},
        text=[_hover(view, name, a, s) for a, s in zip(attempts, seconds, strict=True)],
        textposition="none",
        hovertemplate="%{text}<extra></extra>",
    )


def _hover(view: StudyView, name: str, attempt: AttemptRecord, seconds: float) -> str:
    trial = view.originals.get(attempt.trial_number)
    lines = [f"<b>trial {attempt.trial_number}: {literal(name)}</b>", _length(attempt, seconds)]
    if attempt.exit_status is not None:
        lines.append(f"exit status {attempt.exit_status}")
    if trial is not None and trial.values:
        lines.append("value " + ", ".join(f"{value:.6g}" for value in trial.values))
    params = list(trial.params.items()) if trial is not None else []
    lines += [f"{literal(shown_name(key))} = {literal(_short(value))}" for key, value in params[:12]]
    if len(params) > 12:
        lines.append(f"and {len(params) - 12} more parameters")
    return "<br>".join(lines)


def _length(attempt: AttemptRecord, seconds: float) -> str:
    """Seconds inside the objective where they were measured, else of the whole bar."""
    if attempt.objective_s is None:
        return f"{seconds:.4g} s"
    return f"{attempt.objective_s:.4g} s in the objective"


def _short(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _by_trial(view: StudyView) -> go.Figure:
    started = [trial for trial in view.get_trials() if trial.datetime_start is not None]
    if not started:
        raise UndrawableError("No trial has started yet.")
    recent = started[-thin.MAX_BARS :]
    figure = optuna.visualization.plot_timeline(view.only({trial.number for trial in recent}))
    for trace in figure.data:
        name = {"FAIL": "failed"}.get(trace.name, trace.name.lower())
        trace.update(name=name, marker={"color": _COLORS.get(name, GREY)})
    figure = styled(figure, "Timeline by trial", _recent(len(recent), len(started), "trials"))
    figure.update_xaxes(title_text="time (UTC)")
    figure.update_yaxes(title_text="trial number")
    return figure.update_layout(legend=LEGEND)


def _recent(shown: int, count: int, what: str) -> list[str]:
    return [f"The latest {shown:,} of {count:,} {what}."] if shown < count else []
