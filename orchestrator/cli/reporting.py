"""``nano-hpo report``: a stored study in; its files written once, or again and again while a run goes on."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli.parser import seconds
from orchestrator.cli.shared import add_drawing, add_study

if TYPE_CHECKING:
    from orchestrator.paths import RunPaths
    from orchestrator.results import Written
    from orchestrator.sql.database import Database
    from orchestrator.summary import Summary

WATCH_S = 30.0  # what --watch alone means
_JSON_HELP = (
    '--json prints one object, that of summary.json, as nano-hpo run does: "study_name", "storage", '
    '"directions", "n_trials", "counts" (of trials by state), "best_trials" (each as in nano-hpo best), '
    '"wall_s", "trial_s" (the sum over all trials), "attempts" ("n", and "causes", how many of each), '
    '"slots" (each with "rank", "host", "slot", "cpus", "got_cpus", "busy_s", "alive_s" and more), "absent" '
    '(ranks that never reported, a line each), "runs" (each with "run_id", "owner", "spec", "n_trials", '
    '"claimed", "state", "reason", "start", "end") and "report" (its file; null: none).'
)


def add_report(subparsers: Any) -> None:
    """``nano-hpo report``."""
    parser = subparsers.add_parser(
        "report",
        help="rebuild summary, plots and report of a study",
        description="Read a study from its storage alone and write summary, tables, plots and the report.",
        epilog=f"{_JSON_HELP}\n\nexamples:\n"
        "  nano-hpo report                              # of the last run of this folder\n"
        "  nano-hpo report --storage mysql://user@host/db --study-name digits\n"
        "  nano-hpo report --watch 10 --storage mysql://user@host/db --study-name digits",
    )
    add_study(parser)
    parser.add_argument(
        "--run-dir", type=Path, metavar="DIR", help="where to write (default ./nano-hpo-report/STUDY)"
    )
    add_drawing(parser)
    _add_watching(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(handler=report)


def _add_watching(parser: Any) -> None:
    parser.add_argument(
        "--watch",
        type=_pause,
        nargs="?",
        const=WATCH_S,
        metavar="SECONDS",
        help="write the report anew every so many seconds (default 30) until no agent is at work on the "
        "study, or Ctrl-C; the page then loads itself anew",
    )


def _pause(text: str) -> float:
    pause_s = seconds(text)
    if not 0 < pause_s <= 86_400:
        raise argparse.ArgumentTypeError(f"'{text}' is no time; give seconds, up to 86400")
    return pause_s


def report(options: argparse.Namespace) -> int:
    """Everything a run writes, from the storage alone; 0 also when Ctrl-C ends the watching."""
    from orchestrator.cli.text import print_summary
    from orchestrator.results import write_results
    from orchestrator.stored import open_stored

    _require_pages(options)
    database, url, name = open_stored(options.storage, options.study_name)
    summary = _summary(database, name, url)
    paths = _paths(options, name)
    if options.watch is not None:
        try:
            summary = _watch(database, url, summary, paths, options.watch)
        except KeyboardInterrupt:
            print("nano-hpo: no longer watched.", file=sys.stderr)
            summary = _summary(database, name, url)
            print_summary(summary, _written_once(summary, paths), as_json=options.json)
            return 0
    print_summary(summary, write_results(summary, paths, draw=options.draw), as_json=options.json)
    return 0


def _require_pages(options: argparse.Namespace) -> None:
    from orchestrator.errors import SpecError

    if options.watch is not None and options.draw == "none":
        raise SpecError(
            "--watch keeps the report up to date, which --draw none leaves out; give one of them."
        )


def _paths(options: argparse.Namespace, name: str) -> RunPaths:
    from orchestrator.paths import RunPaths, study_folder

    folder = options.run_dir or Path("nano-hpo-report") / study_folder(name, Path()).name
    paths = RunPaths(folder.expanduser().resolve())
    paths.create_report_folder()
    return paths


def _watch(database: Database, url: str, summary: Summary, paths: RunPaths, pause_s: float) -> Summary:
    """Write the pages as long as an agent is at work; the last summary, of which nothing is written yet.

    The tables and summary.json, which says that all is there, are left to the end.
    """
    from orchestrator.at_work import agents_at_work
    from orchestrator.results import write_pages

    is_first = True
    while agents := agents_at_work(database, [run.run_id for run in summary.runs]):
        write_pages(summary, paths, refresh_s=pause_s)
        if is_first:
            said = "1 agent is" if len(agents) == 1 else f"{len(agents)} agents are"
            print(f"nano-hpo: {said} at work; {paths.report} is kept up to date.", file=sys.stderr)
        is_first = False
        time.sleep(pause_s)
        summary = _summary(database, summary.study.study_name, url)
    return _summary(database, summary.study.study_name, url)


def _written_once(summary: Summary, paths: RunPaths) -> Written:
    """The pages as they are now; they no longer load themselves anew."""
    from orchestrator.results import Written, write_pages

    write_pages(summary, paths)
    return Written(paths.root, paths.report, ())


def _summary(database: Database, name: str, url: str) -> Summary:
    from orchestrator.errors import StudyError
    from orchestrator.storage_url import masked
    from orchestrator.summarise import summarise

    try:
        return summarise(database, name, url)
    except KeyError:
        raise StudyError(f"Study '{name}' is no longer in {masked(url)}: renamed or deleted.") from None
