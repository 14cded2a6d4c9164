"""``nano-hpo trials``: a study in; its trials, or the attempts that failed or were lost, out."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from orchestrator.cli.columns import columns, for_screen
from orchestrator.cli.shared import add_study

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optuna.trial import FrozenTrial

    from orchestrator.cli.selection import Selection
    from orchestrator.sql.database import Database
    from orchestrator.summary import Summary

_EPILOG = """\
--json prints a list: of trials with "number", "state", "values", "params", "duration_s", "user_attrs",
"intermediate_values" (by step), "attempts" (how often it was tried) and "cause" (why it failed); with
--failed of attempts with "trial", "attempt", "trial_state", "cause", "detail", "host", "rank", "slot",
"cpus", "pid", "start", "end", "exit_status", "peak_rss_mib", "cpu_s", "job" (of Slurm) and "log" (in the run
directory); of a failed trial that no attempt of ours explains all is null but "trial", "trial_state" and
perhaps "detail".

examples:
  nano-hpo trials                              # of the last run of this folder
  nano-hpo trials last
  nano-hpo trials --top 10 --storage mysql://user@host/db --study-name s
  nano-hpo trials --failed
  nano-hpo trials --state running,waiting"""


_NO_FAILURE = (
    "No attempt has failed or was lost (those that were interrupted are no failures, and are not here)."
)

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
        "its cause, where it ran, and in which log of the run directory its traceback is.",
        epilog=_EPILOG,
    )
    parser.add_argument("which", nargs="*", metavar="WHICH", help="numbers, as 12 or 3-7, or 'last'")
    add_study(parser)
    parser.add_argument(
        "--state",
        metavar="STATE[,…]",
        help="complete, pruned, failed, running or waiting, or several of them with commas",
    )
    parser.add_argument("--top", type=int, metavar="K", help="the K best, the best first")
    parser.add_argument("--last", type=int, metavar="N", help="the N newest")
    parser.add_argument("--failed", action="store_true", help="attempts that failed or were lost")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(handler=list_trials)


def list_trials(options: argparse.Namespace) -> int:
    """Read the study, print the table; 0 also when there is nothing to list."""
    from orchestrator.cli.selection import Selection
    from orchestrator.stored import open_stored

    selection = Selection.of(options)
    database, url, name = open_stored(options.storage, options.study_name)
    try:
        if options.failed:
            print(_said_failures(database, name, url, selection, options.json))
        else:
            print(_said_trials(database, name, selection, options.json))
    finally:
        database.close()
    return 0


def _said_trials(database: Database, name: str, selection: Selection, as_json: bool) -> str:
    from orchestrator.chosen_trials import measured_s, tries
    from orchestrator.results import dumps
    from orchestrator.storage.study_storage import StudyStorage

    found = selection.read(database, StudyStorage(database).get_study_id_from_name(name))
    ids = [trial._trial_id for trial in found]
    exact_s, attempts = measured_s(database, ids), tries(database, ids)
    return dumps(_trials_json(found, exact_s, attempts)) if as_json else _trials(found, exact_s, attempts)


def _trials_json(
    found: Sequence[FrozenTrial], exact_s: Mapping[int, float], attempts: Mapping[int, int]
) -> list[dict[str, Any]]:
    from orchestrator.summary import trial_json

    rows = []
    for trial in found:
        known = trial_json(trial, exact_s.get(trial.number))
        rows.append({**known, "attempts": attempts.get(trial.number, 0), "cause": _cause(trial)})
    return rows


def _trials(found: Sequence[FrozenTrial], exact_s: Mapping[int, float], attempts: Mapping[int, int]) -> str:
    from orchestrator.names import shown_names
    from orchestrator.report import duration

    names = shown_names(name for trial in found for name in trial.params)
    rows = [("trial", "state", "value", "took", "attempts", "parameters, or cause of failure")]
    rows += [
        (
            str(trial.number),
            trial.state.name.lower(),
            ", ".join(f"{value:.6g}" for value in trial.values or ()) or "-",
            duration(trial, exact_s.get(trial.number)),
            str(attempts.get(trial.number, 0)),
            _cause(trial) or _params(trial, names),
        )
        for trial in found
    ]
    return for_screen(columns(rows)) if found else "There are no such trials."


def _params(trial: FrozenTrial, names: Mapping[str, str]) -> str:
    from orchestrator.snapshot import in_words

    return " ".join(f"{names[name]}={text}" for name, text in in_words(trial.params).items())


def _said_failures(database: Database, name: str, url: str, selection: Selection, as_json: bool) -> str:
    from orchestrator.results import dumps
    from orchestrator.summarise import summarise

    summary = summarise(database, name, url)
    if as_json:
        return dumps([row for row in _failures_json(summary) if selection.has(row["trial"])])
    return _failures(summary, selection)


def _cause(trial: FrozenTrial) -> str | None:
    from orchestrator.storage.attempts import CAUSE

    return trial.system_attrs.get(CAUSE) if trial.state.name == "FAIL" else None


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


def _failures(summary: Summary, selection: Selection) -> str:
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
        if selection.has(one.trial_number)
    ]
    for trial in filter(lambda trial: selection.has(trial.number), summary.unexplained()):
        rows.append((str(trial.number), "-", "fail", *"-----", _cause(trial) or "not known: it was not ours"))
    return columns(rows) if len(rows) > 1 else _NO_FAILURE


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"
