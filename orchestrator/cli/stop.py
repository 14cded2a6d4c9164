"""``nano-hpo stop``: a study in; its running run asked to end, from any machine, out."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any

from orchestrator.cli.shared import add_study

if TYPE_CHECKING:
    from orchestrator.sql.database import Database
    from orchestrator.storage.runs import StoredRun

_LOOK_S = 0.5

_EPILOG = """\
It is as if every agent were told by Ctrl-C once: no trial begins, running ones have --grace seconds (of
the run) to finish or to checkpoint, the report is written, and the same command goes on later. The agents
look every five seconds.

--json prints one object: "run_id", "study" and "was_asked_before" (it was stopping already).

examples:
  nano-hpo stop                                # the run of this folder
  nano-hpo stop --storage mysql://user@host/db --study-name s --wait"""


def add_stop(subparsers: Any) -> None:
    """The verb and its options."""
    parser = subparsers.add_parser(
        "stop",
        help="ask a running run to end, from anywhere",
        description="Ask the run that is at work on a study to end in order, through the storage.",
        epilog=_EPILOG,
    )
    add_study(parser)
    parser.add_argument("--run-id", metavar="ID", help="that run, where several are at work on the study")
    parser.add_argument("--wait", action="store_true", help="return when no agent is at work on it any more")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(handler=stop)


def stop(options: argparse.Namespace) -> int:
    """Ask; 0 when the run was asked (and, with ``--wait``, has ended), by this command or before."""
    from orchestrator.host import this_process
    from orchestrator.results import dumps
    from orchestrator.storage.runs import RunTable, user_name
    from orchestrator.stored import open_stored

    database, _, name = open_stored(options.storage, options.study_name)
    try:
        run = _at_work(database, name, options.run_id)
        run_id = run.record.run_id
        reason = f"asked to stop by {user_name()} on {this_process().host}"
        is_new = RunTable(database).ask_to_stop(run_id, reason)
        if not options.json:
            print(f"Run {run_id} on study '{name}' is {'asked to stop' if is_new else 'stopping already'}.")
        if options.wait:
            _wait(database, run_id)
        if options.json:
            print(dumps({"run_id": run_id, "study": name, "was_asked_before": not is_new}))
    finally:
        database.close()
    return 0


def _at_work(database: Database, name: str, run_id: str | None) -> StoredRun:
    """The run that is meant. Raises ``StudyError`` when it is not clear, or nobody is at work on it."""
    from orchestrator.at_work import agents_at_work
    from orchestrator.errors import StudyError
    from orchestrator.storage.runs import UNENDED, RunTable
    from orchestrator.storage.study_storage import StudyStorage

    study_id = StudyStorage(database).get_study_id_from_name(name)
    stored = RunTable(database).of_study(study_id) if database.keeps_runs() else []
    unended = [run for run in stored if run.record.state in UNENDED]
    alive = {agent.run_id for agent in agents_at_work(database, [run.record.run_id for run in unended])}
    found = [run for run in unended if run.record.run_id in alive]
    if run_id is not None:
        found = [run for run in found if run.record.run_id == run_id]
    if not found:
        what = f"run {run_id}" if run_id is not None else "a run"
        raise StudyError(
            f"Nobody is at work on {what} of study '{name}'; 'nano-hpo status' shows how it stands."
        )
    if len(found) > 1:
        ids = ", ".join(run.record.run_id for run in found)
        raise StudyError(f"{len(found)} runs are at work on study '{name}'; choose with --run-id: {ids}.")
    return found[0]


def _wait(database: Database, run_id: str) -> None:
    from orchestrator.at_work import agents_at_work

    if sys.stderr.isatty():
        print("Waiting for its agents …", file=sys.stderr)
    while agents_at_work(database, [run_id]):
        time.sleep(_LOOK_S)
