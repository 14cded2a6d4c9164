"""Copies of a SQLite file on another disk: a file in use in; whole, consistent copies of it out.

Copies are made by SQLite's own online backup, beside the file, on its disk; a network file system only ever
sees a whole file that is renamed into place.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

from orchestrator.paths import write_whole, written_whole

log = logging.getLogger("nano_hpo")

_BUSY_S = 60.0
_FILES = ("", "-wal")  # where SQLite writes


def copy_sqlite(source: Path, target: Path) -> None:
    """Put a copy of ``source``, as it is at one moment, in the place of ``target``: it all, or nothing.

    Writers go on meanwhile. The copy needs no other file, whatever the journal of the source. Raises
    ``OSError`` and ``sqlite3.Error``.
    """
    with tempfile.TemporaryDirectory(prefix=f".{source.name}.", dir=source.parent) as scratch:
        copy = Path(scratch) / "copy"
        with closing(_opened(source)) as real, closing(sqlite3.connect(copy)) as made:
            real.backup(made)  # in one step: it is not begun anew when somebody writes
            made.execute("PRAGMA journal_mode=DELETE")
        with written_whole(target, mode=source.stat().st_mode & 0o777) as temporary:
            shutil.copyfile(copy, temporary)
            _flush(temporary)


def _opened(file: Path) -> sqlite3.Connection:
    """A connection to a file that is there."""
    return sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True, timeout=_BUSY_S)


def _flush(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Copier:
    """Copies a file when it has changed since the last copy, whoever on this node has made that one.

    ``stamp`` is a file beside the source that says what was copied. A copy that fails is said once, until one
    succeeds; the last whole one stays. Callers take turns.
    """

    def __init__(self, source: Path, target: Path) -> None:
        self._source = source
        self._target = target
        self._stamp = source.with_name(f"{source.name}.copied")
        self._has_failed = False

    def copy(self) -> bool:
        """Copy what has changed; whether the copy holds all that the file does."""
        state = self._state()
        if state is None or state == self._copied():
            return True
        try:
            copy_sqlite(self._source, self._target)
        except (OSError, sqlite3.Error) as error:
            self._say_failed(error)
            return False
        self._note(state)
        if self._has_failed:
            self._has_failed = False
            log.warning("The study is copied to %s again.", self._target)
        return True

    def is_alike(self) -> None:
        """The file was made from the copy just now."""
        self._note(self._state() or "")

    def forget(self) -> None:
        """Remove what was noted."""
        self._stamp.unlink(missing_ok=True)

    def _copied(self) -> str | None:
        try:
            return self._stamp.read_text(encoding="utf-8")
        except OSError:
            return None

    def _note(self, state: str) -> None:
        with suppress(OSError):  # then it is copied once more
            write_whole(self._stamp, state)

    def _state(self) -> str | None:
        """What changes with every commit; None while there is nothing to copy."""
        found = []
        for ending in _FILES:
            try:
                stat = os.stat(f"{self._source}{ending}")  # noqa: PTH116 - a name beside it
            except OSError:
                continue
            found.append(f"{ending} {stat.st_ino} {stat.st_mtime_ns} {stat.st_size}")
        return "\n".join(found) or None

    def _say_failed(self, error: Exception) -> None:
        if not self._has_failed:
            self._has_failed = True
            log.warning(
                "The study could not be copied from %s to %s (%s); the run goes on, and it is tried again.",
                self._source,
                self._target,
                error,
            )
