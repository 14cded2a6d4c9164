"""The trials of a study as rows: trials in; the best first, and plain text for each cell, out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.report.words import choice, duration
from orchestrator.summary import Summary

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

STATES = {"FAIL": "failed"}


def ranked(summary: Summary) -> list[FrozenTrial]:
    """Trials by value, the best first (of several objectives: the front first); then those without."""
    best = {trial.number for trial in summary.best_trials}
    maximize = summary.study.directions[0].name == "MAXIMIZE"

    def key(trial: FrozenTrial) -> tuple[bool, bool, float, int]:
        value = trial.values[0] if trial.values else 0.0
        unranked = trial.state.name != "COMPLETE" or not trial.values
        return unranked, trial.number not in best, -value if maximize else value, trial.number

    return sorted(summary.trials, key=key)


def trial_row(trial: FrozenTrial, names: Iterable[str], exact_s: Mapping[int, float]) -> dict[str, Any]:
    """One row; ``exact_s`` are the seconds inside the objective of those trials where they were measured."""
    return {
        "number": trial.number,
        "state": state_word(trial.state.name),
        "values": trial.values or [],
        "params": [choice(trial.params[name]) if name in trial.params else "–" for name in names],
        "duration": duration(trial, exact_s.get(trial.number)),
        "duration_s": _duration_s(trial, exact_s.get(trial.number)),
    }


def state_word(state: str) -> str:
    """«complete», «failed»."""
    return STATES.get(state, state.lower())


def _duration_s(trial: FrozenTrial, objective_s: float | None) -> float | None:
    """What the column of durations is sorted by."""
    if objective_s is not None or trial.duration is None:
        return objective_s
    return float(trial.duration.total_seconds())
