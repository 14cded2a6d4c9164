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
from contextlib import closing
from pathlib import Path
from threading import Event, Thread
from urllib.parse import quote

from orchestrator.paths import written_whole

log = logging.getLogger("nano_hpo")

EVERY_S = 60.0
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
    """Copies a file each minute, if it has changed, and a last time when it is closed; in a thread.

    A copy that fails is said once, until one succeeds; the last whole one stays.
    """

    def __init__(self, source: Path, target: Path, every_s: float = EVERY_S) -> None:
        self._source = source
        self._target = target
        self._every_s = every_s
        self._copied: object = None
        self._has_failed = False
        self._is_closed = Event()
        self._thread = Thread(target=self._run, name="nano-hpo-copier", daemon=True)
        self._thread.start()

    def close(self) -> bool:
        """Copy a last time; whether the copy holds all that the file does."""
        if not self._is_closed.is_set():
            self._is_closed.set()
            self._thread.join()
        return self.copy()

    def copy(self) -> bool:
        """Copy what has changed since the last time; whether that went well."""
        state = self._state()
        if state == self._copied:
            return True
        try:
            copy_sqlite(self._source, self._target)
        except (OSError, sqlite3.Error) as error:
            self._say_failed(error)
            return False
        self._copied = state
        if self._has_failed:
            self._has_failed = False
            log.warning("The study is copied to %s again.", self._target)
        return True

    def _run(self) -> None:
        while not self._is_closed.wait(self._every_s):
            self.copy()

    def _state(self) -> object:
        """What changes with every commit; None while there is nothing to copy."""
        found = []
        for ending in _FILES:
            try:
                stat = os.stat(f"{self._source}{ending}")  # noqa: PTH116 - a name beside it
            except OSError:
                continue
            found.append((ending, stat.st_mtime_ns, stat.st_size))
        return found or None

    def _say_failed(self, error: Exception) -> None:
        if not self._has_failed:
            self._has_failed = True
            log.warning(
                "The study could not be copied from %s to %s (%s); the run goes on, and it is tried again.",
                self._source,
                self._target,
                error,
            )
