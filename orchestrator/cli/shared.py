"""Options that several verbs have: a parser in, the same parser with them out."""

from __future__ import annotations

from typing import Any

STORAGE_HELP = (
    "database URL: mysql://USER@HOST/DATABASE, sqlite:///FILE, postgresql://…; the environment variable "
    "NANO_HPO_STORAGE stands in"
)
STUDY_HELP = (
    "the study's name; 'last' is the one in which something happened last; may be left out when there is "
    "only one"
)
FOLDER_HELP = f"{STORAGE_HELP}; else that of the last run that was begun in this folder"


def add_study(parser: Any) -> None:
    """Which stored study a verb is about."""
    parser.add_argument("--storage", metavar="URL", help=FOLDER_HELP)
    parser.add_argument("--study-name", "--study", metavar="NAME", help=STUDY_HELP)


def add_drawing(parser: Any) -> None:
    """What of report and plots is written."""
    parser.add_argument(
        "--draw",
        choices=("all", "html", "none"),
        default="all",
        help="report and PNG files of the plots, the report alone, or tables only (default all)",
    )
