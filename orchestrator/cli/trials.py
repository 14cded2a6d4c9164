"""``nano-hpo trials``: a study in; its trials, or the attempts that failed or were lost, out."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from orchestrator.cli.columns import columns
from orchestrator.cli.options import STORAGE_HELP

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from orchestrator.summary import Summary

_JSON_HELP = """\
--json prints a list: of trials with "number", "state", "values", "params", "duration_s", "user_attrs",
"intermediate_values" (by step), "attempts" (how often it was tried) and "cause" (why it failed); with
--failed of attempts with "trial", "attempt", "trial_state", "cause", "detail", "host", "rank", "slot",
"cpus", "pid", "start", "end", "exit_status", "peak_rss_mib", "cpu_s", "job" (of Slurm) and "log" (in the run
directory); of a failed trial that no attempt of ours explains all is null but "trial", "trial_state" and
perhaps "detail"."""


_ATTEMPT_KEYS = (
    *("trial", "attempt", "trial_state", "cause", "detail", "host", "rank", "slot", "cpus", "pid", "start"),
    *("end", "exit_status", "peak_rss_mib", "cpu_s", "job", "log"),
)


def add_trials(subparsers: Any) -> None:
    """The verb and its options."""
    parser = subparsers.add_parser(
        "trials",
        help="list the trials of a study, or what went wrong",
        description="List the trials of a study; with --failed every attempt that failed or was lost, with "
        "its cause,\nwhere it ran, and in which log of the run directory its traceback is.",
        epilog=_JSON_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--storage", metavar="URL", help=STORAGE_HELP)
    parser.add_argument("--study-name", metavar="NAME", help="may be left out when there is only one")
    parser.add_argument("--failed", action="store_true", help="attempts that failed or were lost")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(handler=list_trials)


def list_trials(options: argparse.Namespace) -> int:
    """Read the study, print the table; 0 also when there is nothing to list."""
    from orchestrator.results import dumps
    from orchestrator.stored import open_stored
    from orchestrator.summarise import summarise

    database, url, name = open_stored(options.storage, options.study_name)
    try:
        summary = summarise(database, name, url)
        if options.json:
            print(dumps(_failures_json(summary) if options.failed else _trials_json(summary)))
        else:
            print(_failures(summary) if options.failed else _trials(summary))
    finally:
        database.close()
    return 0


def _trials_json(summary: Summary) -> list[dict[str, Any]]:
    from orchestrator.summary import trial_json

    exact_s, tries = summary.objective_seconds(), summary.tries()
    found = []
    for trial in summary.trials:
        known = trial_json(trial, exact_s.get(trial.number))
        found.append({**known, "attempts": tries[trial.number], "cause": _cause(trial)})
    return found


def _trials(summary: Summary) -> str:
    from orchestrator.report import duration

    exact_s, tries = summary.objective_seconds(), summary.tries()
    rows = [("trial", "state", "value", "took", "attempts", "cause of failure")]
    rows += [
        (
            str(trial.number),
            trial.state.name.lower(),
            ", ".join(f"{value:.6g}" for value in trial.values or ()) or "-",
            duration(trial, exact_s.get(trial.number)),
            str(tries[trial.number]),
            _cause(trial) or "",
        )
        for trial in summary.trials
    ]
    return columns(rows) if len(rows) > 1 else "The study has no trials."


def _cause(trial: FrozenTrial) -> str | None:
    from orchestrator.storage.attempts import CAUSE

    return trial.system_attrs.get(CAUSE)


def _failures_json(summary: Summary) -> list[dict[str, Any]]:
    return [
        {
            "trial": one.trial_number,
            "attempt": one.attempt,
            "trial_state": summary.state_of(one.trial_number),
            "cause": one.cause,
            "detail": one.detail,
            "host": one.host,
            "rank": one.rank,
            "slot": one.slot,
            "cpus": one.cpus,
            "pid": one.pid,
            "start": one.start.isoformat(),
            "end": None if one.end is None else one.end.isoformat(),
            "exit_status": one.exit_status,
            "peak_rss_mib": one.peak_rss_mib,
            "cpu_s": one.cpu_s,
            "job": one.job,
            "log": one.log,
        }
        for one in summary.failures()
    ] + [
        {
            **dict.fromkeys(_ATTEMPT_KEYS),
            "trial": trial.number,
            "trial_state": "FAIL",
            "detail": _cause(trial),
        }
        for trial in summary.unexplained()
    ]


def _failures(summary: Summary) -> str:
    rows = [("trial", "attempt", "trial is", "where", "exit", "peak MiB", "CPU s", "log", "cause")]
    rows += [
        (
            str(one.trial_number),
            str(one.attempt),
            summary.state_of(one.trial_number).lower(),
            f"{one.host} slot {one.slot}",
            "-" if one.exit_status is None else str(one.exit_status),
            _number(one.peak_rss_mib),
            _number(one.cpu_s),
            one.log,
            one.why,
        )
        for one in summary.failures()
    ]
    for trial in summary.unexplained():
        rows.append((str(trial.number), "-", "fail", *"-----", _cause(trial) or "not known: it was not ours"))
    return columns(rows) if len(rows) > 1 else "No attempt has failed or was lost."


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"
