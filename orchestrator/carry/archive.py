"""A study is put aside: a database and a study's name in; a file that holds all of it, read back, out.

What is deleted afterwards is deleted on the word of :func:`holds`: everything that the database has of the
study was read from the file, through the reader that ``nano-hpo import`` uses.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import count, zip_longest
from pathlib import Path

from orchestrator.at_work import agents_at_work
from orchestrator.carry.content import StudyHead
from orchestrator.carry.encoding import LineWriter
from orchestrator.carry.files import StudyFile, write_study
from orchestrator.carry.reading import StudySource
from orchestrator.errors import StudyError, StudyFileError
from orchestrator.paths import safe_name
from orchestrator.sql.database import Database
from orchestrator.storage.deletion import delete_in_batches
from orchestrator.storage.runs import UNENDED, RunTable

SUFFIX = ".jsonl.gz"
_NO_TIME = datetime.min


def first_place(folder: Path, name: str) -> Path:
    """The file of a study in a folder, unless something else has that name there."""
    return next(_places(folder, name))


def put_aside(database: Database, name: str, folder: Path) -> Path:
    """Write a study into a new file in ``folder``, safe on the disk and read back; the file.

    Nothing is overwritten: a file that holds the study already, as after an interruption, is taken for it,
    beside any other one goes ``NAME-2.jsonl.gz``. Raises ``StudyFileError``, and leaves no file, when the
    study changed meanwhile or the file does not hold what was written; ``OSError`` on a full disk.
    """
    for place in _places(folder, name):
        if not place.exists():
            return _written(database, name, place)
        if _is_known(place, database, name):
            return place
    raise AssertionError("there is always another name")


def delete_idle(database: Database, study_id: int, name: str, told: Callable[[int], None]) -> None:
    """Delete a study that was put aside; ``StudyError`` when a run has begun to work on it since."""
    runs = RunTable(database).of_study(study_id) if database.keeps_runs() else []
    running = [run.record.run_id for run in runs if run.record.state in UNENDED]
    if agents_at_work(database, running):
        raise StudyError(f"A run has begun to work on study '{name}' meanwhile; the study stays.")
    delete_in_batches(database, study_id, told)


def holds(file: Path, source: StudySource) -> bool:
    """Whether everything that the database has of the study can be read from the file.

    The file may have trials besides, which came after: a deletion that was interrupted has begun with the
    newest. Raises ``StudyFileError`` when the file is damaged or is no study.
    """
    stored = StudyFile(str(file))
    if _head_line(stored.head) != _head_line(source.head):
        return False
    in_file, in_database = LineWriter(), LineWriter()
    rest = stored.parts()
    for part in source.parts():
        found = next((one for one in rest if type(one) is type(part)), None)
        if found is None or not _say_the_same(in_file.lines(found), in_database.lines(part)):
            return False
    for _ in rest:  # to its last line, which says that it is whole
        pass
    return True


def _places(folder: Path, name: str) -> Iterator[Path]:
    for number in count(1):
        yield folder / f"{safe_name(name)}{f'-{number}' * (number > 1)}{SUFFIX}"


def _written(database: Database, name: str, place: Path) -> Path:
    source = StudySource(database, name)
    write_study(str(place), source.head, source.parts())
    try:
        _sync(place)
        _sync(place.parent)
        if not holds(place, StudySource(database, name)):
            raise StudyFileError(f"Study '{name}' changed while it was written into {place}; it stays.")
    except BaseException:
        place.unlink(missing_ok=True)
        raise
    return place


def _is_known(place: Path, database: Database, name: str) -> bool:
    try:
        return holds(place, StudySource(database, name))
    except StudyFileError:
        return False


def _sync(path: Path) -> None:
    """To the disk: what follows is a deletion."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _head_line(head: StudyHead) -> object:
    """The head without what differs from one reading to the next."""
    return json.loads(LineWriter().head(replace(head, taken=_NO_TIME, n_trials=0)))


def _say_the_same(one: Iterator[str], other: Iterator[str]) -> bool:
    """Whether lines mean the same: attributes come from the database in any order."""
    return all(
        a == b or (a is not None and b is not None and json.loads(a) == json.loads(b))
        for a, b in zip_longest(one, other)
    )
