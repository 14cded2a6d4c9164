"""When and where trials ran: attempts in, one lane per slot out; without attempts, one per trial."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import plotly.graph_objects as go
from optuna.trial import FrozenTrial, TrialState

from orchestrator.plots import thin
from orchestrator.plots.hover import hover_text, parameter_lines, value_lines
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
from orchestrator.storage.study_storage import StudyStorage

_COLORS = {
    "complete": BLUE,
    "pruned": ORANGE,
    "failed": VERMILLION,
    "lost": INK,
    "released": GREY,
    "running": GREEN,
    "waiting": SKY,
    "infeasible": "#CBD5E1",
}
Lane = tuple[str, str, int, int]  # host, job, rank, slot

_FEW_ROWS = 8  # each of which has its tick
_THICKNESS = 0.75  # of a lane; plotly's own is wider where an outcome is in every other lane only
_OUTCOMES = {"pruned": "pruned", "raised": "failed"}  # a cause's outcome where it is plain
_STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


def timeline_figure(view: StudyView, attempts: Sequence[AttemptRecord]) -> go.Figure:
    """Attempts on the lanes of their slots; by trial where no attempts were kept."""
    return _by_slot(view, attempts) if attempts else trials_figure(view)


def _by_slot(view: StudyView, attempts: Sequence[AttemptRecord]) -> go.Figure:
    recent = sorted(attempts, key=lambda attempt: attempt.start)[-thin.MAX_BARS :]
    lanes = _lanes(recent)
    last = max(attempt.known_until or attempt.start for attempt in recent)
    figure = go.Figure()
    for outcome, group in _by_outcome(view, recent).items():
        figure.add_trace(_bars(view, outcome, group, lanes, last))
    notes = _recent(len(recent), len(attempts), "attempts")
    order = list(dict.fromkeys(lanes.values()))
    lane_px = max(20, min(36, 1400 // len(order)))
    figure = styled(figure, "Timeline by slot", notes, height=90 + lane_px * len(order))
    figure.update_xaxes(title_text="time (UTC)", type="date")
    figure.update_yaxes(title_text="", type="category", categoryorder="array", categoryarray=order[::-1])
    return figure.update_layout(barmode="overlay", showlegend=True, legend=LEGEND)


def _lanes(attempts: Iterable[AttemptRecord]) -> dict[Lane, str]:
    """Labels of the lanes in their order: host, rank, slot; and the Slurm job, each of which has a rank 0."""
    keys = sorted({_lane(attempt) for attempt in attempts})
    return {key: lane_label(*key) for key in keys}


def _lane(attempt: AttemptRecord) -> Lane:
    return attempt.host, attempt.job or "", attempt.rank, attempt.slot


def lane_label(host: str, job: str, rank: int, slot: int) -> str:
    """What a slot is called on an axis (plotly text)."""
    of_job = f" · job {literal(job)}" if job else ""
    return f"{literal(host)}{of_job} · rank {rank} · slot {slot}"


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
    lanes: dict[Lane, str],
    last: datetime,
) -> go.Bar:
    seconds = [((attempt.known_until or last) - attempt.start).total_seconds() for attempt in attempts]
    return go.Bar(
        name=literal(name),
        base=[attempt.start.isoformat() for attempt in attempts],
        x=[1000 * length for length in seconds],  # plotly counts dates in ms
        y=[lanes[_lane(attempt)] for attempt in attempts],
        orientation="h",
        width=_THICKNESS,
        marker={"color": _COLORS.get(name, PURPLE), "line": {"color": "white", "width": 0.5}},
        text=[_hover(view, name, a, s) for a, s in zip(attempts, seconds, strict=True)],
        textposition="none",
        hovertemplate="%{text}<extra></extra>",
    )


def _hover(view: StudyView, name: str, attempt: AttemptRecord, seconds: float) -> str:
    trial = view.originals.get(attempt.trial_number)
    lines = [_length(attempt, seconds)]
    if attempt.exit_status is not None:
        lines.append(f"exit status {attempt.exit_status}")
    heading = f"trial {attempt.trial_number}: {literal(name)}"
    of_trial = [] if trial is None else [value_lines(view.source, trial), parameter_lines(trial)]
    return hover_text(heading, lines, *of_trial)


def _length(attempt: AttemptRecord, seconds: float) -> str:
    """Seconds inside the objective where they were measured, else of the whole bar."""
    if attempt.objective_s is None:
        return f"{seconds:.4g} s"
    return f"{attempt.objective_s:.4g} s in the objective"


def trials_figure(view: StudyView, n_recent: int | None = None) -> go.Figure:
    """A bar for each trial, or the ``n_recent`` latest; one that runs reaches to the last known moment."""
    started = [t for t in view.originals.values() if t.datetime_start and t.state != TrialState.WAITING]
    if not started:
        raise UndrawableError("No trial has started yet.")
    recent = started[-min(n_recent or thin.MAX_BARS, thin.MAX_BARS) :]
    last = max(date for t in started for date in (t.datetime_start, t.datetime_complete) if date)
    groups: dict[str, list[FrozenTrial]] = {}
    for trial in recent:
        groups.setdefault(_state(trial), []).append(trial)
    figure = go.Figure([_trial_bars(view, name, groups[name], last) for name in _COLORS if name in groups])
    notes = [*_recent(len(recent), len(started), "trials"), *_waiting(len(view.originals) - len(started))]
    rows = recent[-1].number - recent[0].number + 1
    figure = styled(figure, "Timeline by trial", notes, height=min(800, max(260, 90 + 20 * rows)))
    figure.update_xaxes(title_text=_clock(view), type="date")
    figure.update_yaxes(title_text="trial number", dtick=1 if rows <= _FEW_ROWS else None)
    return figure.update_layout(barmode="overlay", showlegend=True, legend=LEGEND)


def _state(trial: FrozenTrial) -> str:
    """What became of a trial, in a word of ``_COLORS``."""
    if trial.state == TrialState.COMPLETE and any(value > 0 for value in trial.constraints.values()):
        return "infeasible"
    return _STATES.get(trial.state, "running")


def _trial_bars(view: StudyView, name: str, trials: Sequence[FrozenTrial], last: datetime) -> go.Bar:
    starts = [trial.datetime_start for trial in trials if trial.datetime_start is not None]
    ends = [trial.datetime_complete or last for trial in trials]
    seconds = [(end - start).total_seconds() for start, end in zip(starts, ends, strict=True)]
    texts = [
        hover_text(
            f"trial {t.number}: {name}", [f"{s:.4g} s"], value_lines(view.source, t), parameter_lines(t)
        )
        for t, s in zip(trials, seconds, strict=True)
    ]
    return go.Bar(
        name=name,
        base=[start.isoformat() for start in starts],
        x=[1000 * length for length in seconds],  # plotly counts dates in ms
        y=[trial.number for trial in trials],
        orientation="h",
        width=_THICKNESS,
        marker={
            "color": _COLORS[name],
            "line": {"color": _COLORS[name], "width": 1},
        },  # the shortest show, too
        text=texts,
        textposition="none",
        hovertemplate="%{text}<extra></extra>",
    )


def _clock(view: StudyView) -> str:
    """Our storages keep UTC; those of Optuna the time of the machine that wrote it."""
    return "time (UTC)" if isinstance(view.source._storage, StudyStorage) else "time"


def _recent(shown: int, count: int, what: str) -> list[str]:
    return [f"The latest {shown:,} of {count:,} {what}."] if shown < count else []


def _waiting(count: int) -> list[str]:
    return [f"{count:,} waiting {'trial is' if count == 1 else 'trials are'} not shown."] if count else []
