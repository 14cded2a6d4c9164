"""``nano-hpo watch``: a study in; its run as it goes on, on any machine that reaches the storage, out."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from orchestrator.cli.parser import seconds
from orchestrator.cli.shared import add_study
from orchestrator.cli.status import as_json, snapshot_of

if TYPE_CHECKING:
    from orchestrator.sql.database import Database
    from orchestrator.standing import RunStanding, Standing

_EPILOG = """\
It ends with the run; Ctrl-C ends it and leaves the run alone.

examples:
  nano-hpo watch                               # the last run of this folder
  nano-hpo watch --storage mysql://user@host/db --study-name s
  nano-hpo watch --every 30 --storage mysql://user@host/db > progress.log"""


def add_watch(subparsers: Any) -> None:
    """The verb and its options."""
    parser = subparsers.add_parser(
        "watch",
        help="watch a run, from any machine",
        description="Show a run as it goes on, from the storage alone: on any machine that reaches it. In a "
        "terminal a table that is redrawn in place, elsewhere a line whenever something has changed.",
        epilog=_EPILOG,
    )
    add_study(parser)
    parser.add_argument(
        "--every", type=seconds, default=2.0, metavar="S", help="seconds between two looks (default 2)"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print a line for each look, as of nano-hpo status --json",
    )
    parser.set_defaults(handler=watch)


def watch(options: argparse.Namespace) -> int:
    """Look every few seconds until the run has ended; 0 also when somebody has seen enough."""
    from orchestrator.errors import SpecError
    from orchestrator.storage_url import masked
    from orchestrator.stored import open_stored

    if not 0.5 <= options.every < float("inf"):
        raise SpecError(f"--every is {options.every} s; it must be 0.5 or more.")
    database, url, name = open_stored(options.storage, options.study_name)
    looks = _looks(database, name, options.every)
    try:
        if options.json:
            _print_lines(looks, masked(url))
        else:
            _show(looks, name)
    except KeyboardInterrupt:
        pass
    finally:
        database.close()
    return 0


def _looks(database: Database, name: str, every_s: float) -> Iterator[tuple[Standing, RunStanding]]:
    """How the study and its run stand, again and again; the last time when nobody is at work any more."""
    from orchestrator.errors import StudyError
    from orchestrator.standing import read_standing

    while True:
        standing = read_standing(database, name, with_curve=True)
        if standing.run is None:
            raise StudyError(f"Study '{name}' has no run of nano-hpo; 'nano-hpo status' shows its trials.")
        yield standing, standing.run
        if not standing.run.agents:
            return
        time.sleep(every_s)


def _print_lines(looks: Iterator[tuple[Standing, RunStanding]], storage: str) -> None:
    from orchestrator.results import dumps

    for standing, _ in looks:
        print(dumps({"storage": storage, **as_json(standing)}, indent=None), flush=True)


def _show(looks: Iterator[tuple[Standing, RunStanding]], name: str) -> None:
    from orchestrator.live.choice import view_for_people

    view, shown = view_for_people(), None
    try:
        for standing, run in looks:
            shown = snapshot_of(name, run, standing)
            if run.agents:
                view.refresh(shown)
                shown = None
    finally:
        view.close(shown)
    print(f"The run is {run.state}" + (f": {run.record.reason}." if run.record.reason else "."))
