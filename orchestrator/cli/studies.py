"""The verbs about studies, kept in order and carried: a parser in, the same parser with their options out."""

from __future__ import annotations

import argparse
from typing import Any

from orchestrator.cli import housekeeping, study_verbs
from orchestrator.cli.renamed import Renamed
from orchestrator.cli.shared import STORAGE_HELP
from orchestrator.export.formats import DEFAULT, FORMATS

_JSON_HELP = """\
--json prints one object: "storage", and "studies", a list in the order in which they were made, each with
"name", "directions", "n_trials", "counts" (complete, pruned, failed, running, waiting), "best_value" (null
for several objectives or without a complete trial), "first_activity" and "last_activity" (UTC), and "runs",
each with "run_id", "owner", "state", "at_work" (an agent of it lives), "n_trials" (the budget), "claimed".

examples:
  nano-hpo studies --storage mysql://user@host/db
  nano-hpo studies --storage sqlite:///study.db --json"""
_DEED = 'each with "study", "n_trials", "n_runs"'
_TOO_EARLY = "an error or Ctrl-C came before"
_REMOVAL_JSON = (
    f'--json prints one object: "storage", and "studies", those that were chosen, {_DEED} and "done" (false: '
    f"{_TOO_EARLY}). It needs --yes."
)
_RENAME_JSON = (
    '--json prints one object: "storage", "study" (its name now), "n_trials", "n_runs", "old_name" and '
    '"done" (true).'
)
_ARCHIVE_JSON = (
    '--json prints one object, with --dry-run too: "storage", "folder", and "studies", all that are old '
    f'enough, {_DEED}, "last_activity" (UTC), "file" (null where it stays), "run_at_work" (for which it '
    f'stays, else null) and "done" (false also where {_TOO_EARLY}). It needs --yes, --keep or --dry-run.'
)
_EXPORT_JSON = (
    '--json prints one object: "storage", "study", "n_trials" and "n_runs" (that the file tells of), "file", '
    '"format", "bytes" and "done" (true). It needs -o FILE.'
)
_IMPORT_JSON = (
    '--json prints one object: "storage", "file" (null: standard input), "study" (its name there), '
    '"n_trials", "n_runs", "n_were_running" (of the trials), "old_name" (in the file) and "done" (true).'
)
_COPY_JSON = (
    f'--json prints one object: "source" and "storage" (from and to), and "studies", {_DEED}, '
    f'"n_were_running" (of the trials), "old_name" and "done" (false: {_TOO_EARLY}; the numbers are null '
    "then)."
)
_RUNNING_HELP = (
    "what becomes of trials that were running, as no worker travels along: they wait, and the next run does "
    "them again with their numbers and parameters, or they fail (default wait)"
)


def add_verbs(subparsers: Any) -> None:
    """``nano-hpo studies``, ``delete``, ``export``, ``import`` and ``copy``."""
    for add in (_add_studies, _add_delete, _add_export, _add_import, _add_copy):
        add(subparsers)


def _add_studies(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "studies",
        help="list the studies of a database",
        usage="%(prog)s [options]\n       %(prog)s {rm,rename,archive} …",
        description="List the studies of a database, also of one that plain Optuna made: trials by state, "
        "best value, when trials were first and last begun or ended, and the runs of nano-hpo. "
        "With an action put them in order.",
        epilog=_JSON_HELP,
    )
    _add_storage(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("-q", "--quiet", action="store_true", help="print the names alone, one a line")
    parser.set_defaults(handler=study_verbs.list_studies)
    actions = parser.add_subparsers(title="actions", metavar="ACTION", prog=parser.prog)
    for add in (_add_rm, _add_rename, _add_archive):
        add(actions)


def _add_rm(actions: Any) -> None:
    epilog = (
        f"{_REMOVAL_JSON}\n\nexamples:\n  nano-hpo studies rm digits\n"
        "  nano-hpo studies rm 'digits-*' --yes --storage sqlite:///a.db"
    )
    _add_removal(actions.add_parser("rm", help="delete studies", description=_RM, epilog=epilog))


def _add_delete(subparsers: Any) -> None:
    description = f"{_RM} Another name of 'nano-hpo studies rm'."
    epilog = f"{_REMOVAL_JSON}\n\nexample:\n  nano-hpo delete digits --storage mysql://user@host/db"
    parser = subparsers.add_parser("delete", help="delete studies", description=description, epilog=epilog)
    _add_removal(parser)
    parser.set_defaults(storage=None, quiet=False, json=False)  # no verb is around it


_RM = (
    "Delete studies with all their trials and runs, in batches that lock little and for a moment. It asks "
    "before. What an interruption leaves is deleted by the same command."
)


def _add_removal(parser: Any) -> None:
    parser.add_argument("studies", nargs="+", metavar="STUDY", help="a name, or a pattern as 'digits-*'")
    _add_own_storage(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--force", action="store_true", help="although a run is at work on one of them")
    _add_own_output(parser)
    parser.set_defaults(handler=housekeeping.remove)


def _add_rename(actions: Any) -> None:
    parser = actions.add_parser(
        "rename",
        help="give a study another name",
        description="Give a study another name; trials, runs, ids and folders stay as they are.",
        epilog=f"{_RENAME_JSON}\n\n"
        "example:\n  nano-hpo studies rename digits digits-2025 --storage mysql://user@host/db",
    )
    parser.add_argument("old", metavar="OLD", help="its name")
    parser.add_argument("new", metavar="NEW", help="which no other study has")
    _add_own_storage(parser)
    parser.add_argument("--force", action="store_true", help="although a run is at work on it, which goes on")
    _add_own_output(parser)
    parser.set_defaults(handler=housekeeping.rename)


def _add_archive(actions: Any) -> None:
    parser = actions.add_parser(
        "archive",
        help="put old studies into files",
        description="Write each study whose last trial began and ended long ago into DIR/NAME.jsonl.gz, read "
        "the file back, and delete the study then. 'nano-hpo import' brings it back. A study that a run is "
        "at work on stays, and so does one in which no trial was ever begun. It asks before. After an "
        "interruption the same command goes on.",
        epilog=f"{_ARCHIVE_JSON}\n\nexamples:\n"
        "  nano-hpo studies archive --older-than 90d --to archive --dry-run --storage mysql://user@host/db\n"
        "  nano-hpo studies archive --older-than 90d --to archive --yes --storage mysql://user@host/db",
    )
    parser.add_argument(
        "--older-than", required=True, metavar="AGE", help="of the last activity: 90d, 12h, 2w"
    )
    parser.add_argument("--to", required=True, metavar="DIR", help="made when it is not there")
    _add_own_storage(parser)
    parser.add_argument("--keep", action="store_true", help="write the files, delete nothing")
    parser.add_argument("--dry-run", action="store_true", help="say what would be archived, and do nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    _add_own_output(parser)
    parser.set_defaults(handler=housekeeping.archive)


def _add_export(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "export",
        help="write a study into a file",
        description="Write a study with all its trials and runs into a file of JSON lines, which 'nano-hpo "
        "import' reads, into any database; or as a table, or as a paragraph for a paper.",
        epilog=f"{_EXPORT_JSON}\n\nexamples:\n"
        "  nano-hpo export --storage mysql://user@host/db -o digits.jsonl.gz\n"
        "  nano-hpo export --storage mysql://user@host/db --study-name digits -o trials.csv\n"
        "  nano-hpo export --storage mysql://user@host/db --study-name digits --format methods",
    )
    _add_storage(parser)
    parser.add_argument("--study-name", metavar="NAME", help="may be left out when there is only one")
    parser.add_argument(
        "-o",
        "--output",
        default="-",
        metavar="FILE",
        help="compressed when it ends in .gz; '-' is standard output (default)",
    )
    said = "; ".join(f"{one.name}: {one.what}" for one in FORMATS.values())
    parser.add_argument(
        "--format", choices=FORMATS, help=f"{said} (default: by FILE's name, {DEFAULT} where that says none)"
    )
    _add_output(parser)
    parser.set_defaults(handler=study_verbs.export)


def _add_import(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "import",
        help="read an exported study into a database",
        description="Read a study that 'nano-hpo export' wrote into a database: all of it or nothing. A "
        "study of that name must not be there.",
        epilog=f"{_IMPORT_JSON}\n\nexample:\n  nano-hpo import digits.jsonl.gz --storage sqlite:///digits.db",
    )
    parser.add_argument("file", metavar="FILE", help="compressed or not; '-' is standard input")
    _add_storage(parser)
    parser.add_argument(
        "--as", dest="new_name", metavar="NEW", help="its name there (default: as in the file)"
    )
    parser.add_argument("--study-name", dest="new_name", action=Renamed, new="--as NEW", since="0.1")
    _add_running(parser)
    _add_output(parser)
    parser.set_defaults(handler=study_verbs.import_)


def _add_copy(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "copy",
        help="copy studies from one database to another",
        description="Copy a study, or all of them, with trials and runs: export and import without a file "
        "between. A study of that name must not be there.",
        epilog=f"{_COPY_JSON}\n\nexamples:\n"
        "  nano-hpo copy mysql://user@host/db sqlite:///digits.db --study-name digits\n"
        "  nano-hpo copy mysql://user@host/db sqlite:///all.db --all",
    )
    parser.add_argument("source", metavar="URL1", help="database URL, from")
    parser.add_argument("target", metavar="URL2", help="database URL, to")
    parser.add_argument("--study-name", metavar="NAME", help="may be left out when there is only one")
    parser.add_argument("--as", dest="new_name", metavar="NEW", help="its name there (default: the same)")
    parser.add_argument("--all", action="store_true", help="every study, under its name")
    _add_running(parser)
    _add_output(parser)
    parser.set_defaults(handler=study_verbs.copy)


def _add_storage(parser: Any) -> None:
    parser.add_argument("--storage", metavar="URL", help=STORAGE_HELP)


def _add_own_storage(parser: Any) -> None:
    """Where a verb around it may have been given the same option: what is not given here stays."""
    parser.add_argument("--storage", metavar="URL", default=argparse.SUPPRESS, help=STORAGE_HELP)


def _add_own_output(parser: Any) -> None:
    """As :func:`_add_output`, where a verb around it may have been given the same options."""
    _add_output(parser, default=argparse.SUPPRESS)


def _add_running(parser: Any) -> None:
    parser.add_argument("--running", choices=("wait", "fail"), default="wait", help=_RUNNING_HELP)


def _add_output(parser: Any, default: Any = False) -> None:
    parser.add_argument("--json", action="store_true", default=default, help="print what was done as JSON")
    parser.add_argument(
        "-q", "--quiet", action="store_true", default=default, help="say nothing when all is well"
    )
