"""The verbs that list, delete and carry studies: a parser in, the same parser with their options out."""

from __future__ import annotations

from typing import Any

from orchestrator.cli import study_verbs
from orchestrator.cli.options import STORAGE_HELP

_JSON_HELP = """\
--json prints one object: "storage", and "studies", a list in the order in which they were made, each with
"name", "directions", "n_trials", "counts" (complete, pruned, failed, running, waiting), "best_value" (null
for several objectives or without a complete trial), "first_activity" and "last_activity" (UTC), and "runs",
each with "run_id", "owner", "state", "at_work" (an agent of it lives), "n_trials" (the budget), "claimed".

examples:
  nano-hpo studies --storage mysql://user@host/db
  nano-hpo studies --storage sqlite:///study.db --json"""
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
        description="List the studies of a database, also of one that plain Optuna made: trials by state, "
        "best value, when trials were first and last begun or ended, and the runs of nano-hpo.",
        epilog=_JSON_HELP,
    )
    _add_storage(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("-q", "--quiet", action="store_true", help="print the names alone, one a line")
    parser.set_defaults(handler=study_verbs.list_studies)


def _add_delete(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "delete",
        help="delete a study",
        description="Delete a study with all its trials and runs, in batches that lock little and for a "
        "moment. It asks before. What an interruption leaves is deleted by the same command.",
        epilog="example:\n  nano-hpo delete digits --storage mysql://user@host/db",
    )
    parser.add_argument("study", metavar="STUDY", help="the study's name")
    _add_storage(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--force", action="store_true", help="although a run is at work on it")
    _add_quiet(parser)
    parser.set_defaults(handler=study_verbs.delete)


def _add_export(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "export",
        help="write a study into a file",
        description="Write a study with all its trials and runs into a file of JSON lines, which 'nano-hpo "
        "import' reads, into any database.",
        epilog="example:\n  nano-hpo export --storage mysql://user@host/db -o digits.jsonl.gz",
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
    _add_quiet(parser)
    parser.set_defaults(handler=study_verbs.export)


def _add_import(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "import",
        help="read an exported study into a database",
        description="Read a study that 'nano-hpo export' wrote into a database: all of it or nothing. A "
        "study of that name must not be there.",
        epilog="example:\n  nano-hpo import digits.jsonl.gz --storage sqlite:///digits.db",
    )
    parser.add_argument("file", metavar="FILE", help="compressed or not; '-' is standard input")
    _add_storage(parser)
    parser.add_argument("--study-name", metavar="NEW", help="its name there (default: as in the file)")
    _add_running(parser)
    _add_quiet(parser)
    parser.set_defaults(handler=study_verbs.import_)


def _add_copy(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "copy",
        help="copy studies from one database to another",
        description="Copy a study, or all of them, with trials and runs: export and import without a file "
        "between. A study of that name must not be there.",
        epilog="examples:\n"
        "  nano-hpo copy mysql://user@host/db sqlite:///digits.db --study-name digits\n"
        "  nano-hpo copy mysql://user@host/db sqlite:///all.db --all",
    )
    parser.add_argument("source", metavar="URL1", help="database URL, from")
    parser.add_argument("target", metavar="URL2", help="database URL, to")
    parser.add_argument("--study-name", metavar="NAME", help="may be left out when there is only one")
    parser.add_argument("--as", dest="new_name", metavar="NEW", help="its name there (default: the same)")
    parser.add_argument("--all", action="store_true", help="every study, under its name")
    _add_running(parser)
    _add_quiet(parser)
    parser.set_defaults(handler=study_verbs.copy)


def _add_storage(parser: Any) -> None:
    parser.add_argument("--storage", metavar="URL", help=STORAGE_HELP)


def _add_running(parser: Any) -> None:
    parser.add_argument("--running", choices=("wait", "fail"), default="wait", help=_RUNNING_HELP)


def _add_quiet(parser: Any) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing when all is well")
