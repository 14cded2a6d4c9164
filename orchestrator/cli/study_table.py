"""All studies of a database for people and for programs: overviews in; a table of text or plain data out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import TrialState
from rich.cells import cell_len

from orchestrator.names import on_one_line
from orchestrator.storage.overview import RunOverview, StudyOverview
from orchestrator.storage.runs import FINISHED, UNENDED
from orchestrator.storage.stored_trial import local

_SHORT = {StudyDirection.MINIMIZE: "min", StudyDirection.MAXIMIZE: "max", StudyDirection.NOT_SET: "?"}
_COUNTED = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "running": TrialState.RUNNING,
    "waiting": TrialState.WAITING,
}
_TITLES = ("study", "goal", "trials", *_COUNTED, "best", "first", "last", "runs")
_LEFT = {"study", "goal", "first", "last", "runs"}  # the rest are numbers


def table(studies: Sequence[StudyOverview], at_work: Collection[str]) -> str:
    """One line a study below a line of titles; ``at_work`` are the runs whose agents live."""
    rows = [_TITLES, *(_cells(study, at_work) for study in studies)]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = []
    for title, text, width in zip(_TITLES, row, widths, strict=True):
        padding = " " * (width - cell_len(text))
        cells.append(text + padding if title in _LEFT else padding + text)
    return "  ".join(cells).rstrip()


def _cells(study: StudyOverview, at_work: Collection[str]) -> Sequence[str]:
    best = "-" if study.best_value is None else f"{study.best_value:.6g}"
    return (
        on_one_line(study.name),
        ",".join(_SHORT[direction] for direction in study.directions),
        str(study.n_trials),
        *(str(study.counts[state]) for state in _COUNTED.values()),
        best,
        minute(study.first),
        minute(study.last),
        _runs(study.runs, at_work),
    )


def minute(moment: datetime | None) -> str:
    """Local time."""
    there = local(moment)
    return "-" if there is None else f"{there:%Y-%m-%d %H:%M}"


def _runs(some: Sequence[RunOverview], at_work: Collection[str]) -> str:
    """How many runs, and what became of those that did not finish."""
    unfinished = Counter(_said_state(run, at_work) for run in some if run.state != FINISHED)
    words = ", ".join(f"{n} {state}" for state, n in sorted(unfinished.items()))
    return f"{len(some)} ({words})" if words else str(len(some))


def _said_state(run: RunOverview, at_work: Collection[str]) -> str:
    return "cut off" if run.state in UNENDED and run.run_id not in at_work else run.state


def as_json(studies: Sequence[StudyOverview], at_work: Collection[str]) -> list[dict[str, Any]]:
    """Plain data, one object a study; times in UTC."""
    return [
        {
            "name": study.name,
            "directions": [direction.name.lower() for direction in study.directions],
            "n_trials": study.n_trials,
            "counts": {name: study.counts[state] for name, state in _COUNTED.items()},
            "best_value": study.best_value,
            "first_activity": utc_text(study.first),
            "last_activity": utc_text(study.last),
            "runs": [
                {
                    "run_id": run.run_id,
                    "owner": run.owner,
                    "state": run.state,
                    "at_work": run.run_id in at_work,
                    "n_trials": run.n_trials,
                    "claimed": run.claimed,
                }
                for run in study.runs
            ],
        }
        for study in studies
    ]


def utc_text(moment: datetime | None) -> str | None:
    """As JSON has it."""
    return None if moment is None else f"{moment.isoformat(timespec='microseconds')}Z"
