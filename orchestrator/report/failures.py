"""What went wrong: attempts and failed trials in; rows by cause, rows by attempt and links to logs out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from orchestrator.causes import Cause, described
from orchestrator.paths import RunPaths
from orchestrator.records import AttemptRecord
from orchestrator.summary import Summary

MAX_FAILURES = 200
_MOST_LOGS = 3  # links of a cause
_TELLING = (Cause.SIGNAL, Cause.EXITED)  # their details are few: a signal, an exit status
_OTHERS = "failed, and no attempt of ours is known"


def failures(summary: Summary, folder: Path | None) -> dict[str, Any]:
    """Attempts that went wrong, and failed trials of which no attempt is known; ``folder`` has the report."""
    bad, foreign = summary.failures(), summary.unexplained()
    run_id = run_of_folder(folder)
    rows = [_row(attempt, run_id) for attempt in bad]
    rows += [{"cause": "failed", "trial": trial.number, "attempt": None, "href": None} for trial in foreign]
    return {
        "rows": rows[:MAX_FAILURES],
        "count": len(rows),
        "causes": _by_cause(bad, len(foreign), run_id),
        "has_links": any(row["href"] for row in rows[:MAX_FAILURES]),
    }


def run_of_folder(folder: Path | None) -> str | None:
    """The run whose directory this is, by what it has written there; its logs lie beside the report."""
    if folder is None:
        return None
    try:
        run_id = json.loads(RunPaths(folder).spec.read_text(encoding="utf-8"))["run_id"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(run_id)


def _row(attempt: AttemptRecord, run_id: str | None) -> dict[str, Any]:
    return {
        "cause": attempt.why,
        "trial": attempt.trial_number,
        "attempt": attempt,
        "href": _href(attempt, run_id),
    }


def _href(attempt: AttemptRecord, run_id: str | None) -> str | None:
    """The log relative to the report; None where it is elsewhere."""
    return quote(attempt.log) if run_id is not None and attempt.run_id == run_id else None


def _by_cause(bad: Sequence[AttemptRecord], n_foreign: int, run_id: str | None) -> list[dict[str, Any]]:
    """The causes, the commonest first: how many attempts and trials, and where to read on."""
    groups: dict[str, list[AttemptRecord]] = {}
    for attempt in bad:
        groups.setdefault(_kind(attempt), []).append(attempt)
    ranked = sorted(groups.items(), key=lambda group: -len(group[1]))
    rows = [_cause_row(kind, attempts, run_id) for kind, attempts in ranked]
    if n_foreign:
        rows.append({"cause": _OTHERS, "n": n_foreign, "n_trials": n_foreign, "logs": [], "n_logs": 0})
    most = max((row["n"] for row in rows), default=1)
    return [{**row, "part": 100 * row["n"] / most} for row in rows]


def _kind(attempt: AttemptRecord) -> str:
    """A cause with as much of its detail as many attempts share: «raised ValueError»."""
    if attempt.cause == Cause.RAISED:
        return described(attempt.cause, attempt.detail.partition(":")[0][:80])
    return described(attempt.cause or "running", attempt.detail if attempt.cause in _TELLING else "")


def _cause_row(kind: str, attempts: Sequence[AttemptRecord], run_id: str | None) -> dict[str, Any]:
    logs: dict[str, str | None] = {}
    for attempt in attempts:  # other runs have logs of the same names
        logs[attempt.log] = logs.get(attempt.log) or _href(attempt, run_id)
    return {
        "cause": kind,
        "n": len(attempts),
        "n_trials": len({attempt.trial_number for attempt in attempts}),
        "logs": list(logs.items())[:_MOST_LOGS],
        "n_logs": len(logs),
    }
