"""What a report says: a ``Summary`` in; all that its templates show, but the plots, as plain values out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.names import shown_names
from orchestrator.report.failures import failures
from orchestrator.report.machines import MAX_HOSTS, drawings, environments, machine_rows
from orchestrator.report.parameters import best_part_of, parameter_row
from orchestrator.report.slots import slot_rows, use_rows
from orchestrator.report.trials import ranked, state_word, trial_row
from orchestrator.report.words import seconds
from orchestrator.summary import Summary, in_whole_seconds
from orchestrator.versions import versions_of_report

_SETTINGS = ("objective", "sampler", "pruner", "seed", "n_trials", "n_parallels")
MAX_ROWS = 1000  # of the trials table
MAX_BEST = 20
MAX_USES = 1000  # rows of hosts and slots


def content_of(summary: Summary, folder: Path | None = None) -> dict[str, Any]:
    """All values by the names that the templates use; ``folder`` is where the report will lie, if known.

    Runs, attempts and slots may be empty, as in a study made by plain Optuna; their tables are then empty.
    """
    return {
        "title": summary.study.study_name,
        "storage": summary.storage_url,
        "objectives": objectives(summary),
        "spec": _settings(summary),
        **_result(summary),
        **_tables(summary),
        **_places(summary),
        "failures": failures(summary, folder),
        "runs": summary.runs,
        "versions": versions_of_report(),
    }


def objectives(summary: Summary) -> list[tuple[str, str]]:
    """Name and direction of each objective."""
    directions = [direction.name.lower() for direction in summary.study.directions]
    plain = ["value"] if len(directions) == 1 else [f"objective {i}" for i in range(len(directions))]
    return list(zip(summary.study.metric_names or plain, directions, strict=True))


def _result(summary: Summary) -> dict[str, Any]:
    """How many trials came to what, and how long it took."""
    return {
        "n_trials": len(summary.trials),
        "counts": {state_word(state): found for state, found in summary.counts.items()},
        "wall_s": summary.wall_s or None,
        "trial_time": _trial_time(summary),
        "speedup": summary.trial_s / summary.wall_s if summary.wall_s > 0 and summary.trial_s > 0 else None,
        "n_best": len(summary.best_trials),
    }


def _tables(summary: Summary) -> dict[str, Any]:
    """The trials and their parameters."""
    names = shown_names(name for trial in summary.trials for name in trial.params)
    exact_s = summary.objective_seconds()
    best_part = best_part_of(summary)
    return {
        "best": [trial_row(trial, names, exact_s) for trial in summary.best_trials[:MAX_BEST]],
        "columns": list(names.values()),
        "parameters": [parameter_row(name, shown, summary, best_part) for name, shown in names.items()],
        "n_best_part": len(best_part),
        "trials": [trial_row(trial, names, exact_s) for trial in ranked(summary)[:MAX_ROWS]],
    }


def _places(summary: Summary) -> dict[str, Any]:
    """Machines and slots."""
    machines, uses = machine_rows(summary), use_rows(summary)
    return {
        "machines": machines[:MAX_HOSTS],
        "n_machines": len(machines),
        "drawings": drawings(summary),
        "environments": environments(summary),
        "slots": slot_rows(summary.slots),
        "n_slots": len(summary.slots),
        "uses": uses[:MAX_USES],
        "n_uses": len(uses),
        "absent": summary.absent,
    }


def _trial_time(summary: Summary) -> str:
    """The summed time of the trials; without attempts of ours by their dates, which may be rough."""
    text = seconds(summary.trial_s or None)
    is_rough = not summary.attempts and summary.trial_s and all(map(in_whole_seconds, summary.trials))
    return f"about {text}" if is_rough else text


def _settings(summary: Summary) -> dict[str, Any]:
    """The settings of the last run that the page names; all of them may be missing."""
    spec = summary.runs[-1].spec if summary.runs else {}
    shown = {key: spec[key] for key in _SETTINGS if spec.get(key) is not None}
    if len(summary.study.directions) > 1 and shown.get("pruner", "none") != "none":
        shown["pruner"] = f"{shown['pruner']} (without effect: Optuna prunes no trial of several objectives)"
    return shown
