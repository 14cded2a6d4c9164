"""``nano-hpo jobs`` and ``cancel``: recorded jobs of this folder in; a table, JSON or their end out."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.jobs.record import JobRecord

_JSON_HELP = """\
--json prints a list of jobs, the latest last, each with "job_id", "state" (Slurm's long name; of an array
with how many; null: not known), "is_over", "elapsed", "exit_code" (null while it is not over), "study",
"storage" (masked), "trials_done" (null: not begun, or the storage does not say), "n_trials", "n_tasks",
"submitted" (UTC), "output", "script" and "command".

examples:
  nano-hpo jobs
  nano-hpo jobs --all --json"""


def add_jobs(subparsers: Any) -> None:
    """``nano-hpo jobs`` and ``nano-hpo cancel``."""
    parser = subparsers.add_parser(
        "jobs",
        help="show the Slurm jobs of this folder",
        description="Show the jobs that were submitted from this folder: those that wait or run, and those "
        "of the last day.",
        epilog=_JSON_HELP,
    )
    parser.add_argument("-a", "--all", action="store_true", help="all that were ever submitted")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(handler=list_jobs)
    _add_cancel(subparsers)


def _add_cancel(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "cancel",
        help="end Slurm jobs, in order",
        description="End jobs: their running trials are given back, and the same search, submitted again, "
        "goes on.",
        epilog="examples:\n  nano-hpo cancel 1234\n  nano-hpo cancel --study-name digits",
    )
    parser.add_argument("jobs", nargs="*", metavar="JOBID", help="as 12; 12_3 for one task of an array")
    parser.add_argument("--study-name", "--study", metavar="NAME", help="this folder's jobs on that study")
    parser.add_argument("--json", action="store_true", help="print the ids of the jobs as a list")
    parser.set_defaults(handler=cancel)


def list_jobs(options: argparse.Namespace) -> int:
    """Ask Slurm and the storages, print; 0 also when there is nothing to show."""
    from orchestrator.jobs.progress import trials_done
    from orchestrator.results import dumps

    folder = Path.cwd()
    records = _looked_at(folder)
    shown = records if options.all else [record for record in records if _is_recent(record)]
    rows = [(record, trials_done(record, folder)) for record in shown]
    if options.json:
        print(dumps([job_json(record, done) for record, done in rows]))
    elif rows:
        print(_table(rows))
    else:
        older = " of late; --all shows older ones" if records else ""
        print(f"nano-hpo: no job was submitted from {folder}{older}.", file=sys.stderr)
    return 0


def _looked_at(folder: Path) -> list[JobRecord]:
    """The records, as Slurm sees the jobs now; what is new is written down."""
    from launchers import SlurmError, read_job_states
    from orchestrator.jobs.record import read_records, write_record
    from orchestrator.paths import JobPaths

    paths = JobPaths.of_folder(folder)
    records = read_records(paths)
    try:
        states = read_job_states([record.job_id for record in records if not record.is_over])
    except SlurmError as error:
        print(f"nano-hpo: {error} States are as they were last seen.", file=sys.stderr)
        return records
    found = []
    for record in records:
        now = record.seen(states.get(record.job_id, []))
        if now != record:
            write_record(now, paths)
        is_known = record.is_over or record.job_id in states
        found.append(now if is_known else record.forgotten())
    return found


def _is_recent(record: JobRecord) -> bool:
    from datetime import UTC, datetime, timedelta

    return not record.is_over or datetime.now(UTC) - datetime.fromisoformat(record.submitted) < timedelta(
        days=1
    )


def job_json(record: JobRecord, done: int | None) -> dict[str, Any]:
    """A job as plain data, documented in the help text; ``done``: trials, where they are known."""
    names = ("job_id", "state", "is_over", "elapsed", "exit_code", "study", "storage")
    more = ("n_trials", "n_tasks", "submitted", "output", "script", "command")
    data = {name: getattr(record, name) for name in names} | {"trials_done": done}
    return data | {name: getattr(record, name) for name in more}


def _table(rows: list[tuple[JobRecord, int | None]]) -> str:
    from orchestrator.cli.columns import columns

    lines = [("job", "study", "state", "elapsed", "exit", "trials", "output")]
    for record, done in rows:
        total = "" if record.n_trials is None else f"/{record.n_trials}"
        lines.append(
            (
                record.job_id,
                record.study,
                record.state or "unknown",
                record.elapsed or "-",
                "-" if record.exit_code is None else str(record.exit_code),
                f"{'-' if done is None else done}{total}",
                record.output.replace("%a", "*"),
            )
        )
    return columns(lines)


def cancel(options: argparse.Namespace) -> int:
    """Hand the ids to scancel; 0 when it took them."""
    from launchers import cancel_jobs
    from orchestrator.errors import SpecError
    from orchestrator.results import dumps

    wrong = [job_id for job_id in options.jobs if not re.fullmatch(r"\d+(_\d+)?", job_id)]
    if wrong:
        raise SpecError(f"'{wrong[0]}' is no job id, as 12 or 12_3; 'nano-hpo jobs' lists them.")
    if bool(options.jobs) == bool(options.study_name):
        raise SpecError("Name the jobs, or --study NAME; 'nano-hpo jobs' lists them.")
    job_ids = options.jobs or _jobs_on(options.study_name)
    cancel_jobs(job_ids)
    print(dumps(job_ids) if options.json else f"Job {', '.join(job_ids)}: told to end.")
    return 0


def _jobs_on(study: str) -> list[str]:
    from orchestrator.errors import StudyError

    records = _looked_at(Path.cwd())
    found = [record.job_id for record in records if record.study == study and not record.is_over]
    if not found:
        there = sorted({record.study for record in records if not record.is_over})
        others = f"there are jobs on {', '.join(there)}" if there else "no job waits or runs"
        raise StudyError(f"No job of this folder on study '{study}' waits or runs; {others}.")
    return found
