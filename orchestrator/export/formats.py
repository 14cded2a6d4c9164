"""The formats of ``nano-hpo export``: a name or a file's name in; the format and its writer out.

Importing it is cheap: a writer's module loads when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.carry.reading import StudySource
    from orchestrator.sql.database import Database

Told = Callable[[int], None]  # hears how many more trials are written
Writer = Callable[["Database", "StudySource", str, Told], "Exported"]  # file ``-``: standard output


@dataclass(frozen=True, slots=True)
class Exported:
    """What a file tells of now, and the same in few words."""

    said: str
    n_trials: int
    n_runs: int


@dataclass(frozen=True, slots=True)
class Format:
    """One format. ``suffixes`` are the ends of file names that mean it; ``.gz`` may follow each.

    Its writer stands in ``module`` as ``write``: it writes a study whole or not at all, and says what is in
    the file now.
    """

    name: str
    what: str  # for people
    module: str
    suffixes: tuple[str, ...] = ()

    def writer(self) -> Writer:
        """The function that writes it."""
        write: Writer = import_module(self.module).write
        return write


FORMATS = {
    one.name: one
    for one in (
        Format("jsonl", "all there is, for 'nano-hpo import'", "orchestrator.export.lines", (".jsonl",)),
        Format("csv", "one row a trial", "orchestrator.export.csv_table", (".csv",)),
        Format("methods", "a paragraph for a paper", "orchestrator.export.methods"),
    )
}
DEFAULT = "jsonl"


def format_for(file: str, name: str | None) -> Format:
    """The format that is named, else the one of the file's name, else JSON lines."""
    if name is not None:
        return FORMATS[name]
    end = file.lower().removesuffix(".gz")
    return next((one for one in FORMATS.values() if end.endswith(one.suffixes)), FORMATS[DEFAULT])
