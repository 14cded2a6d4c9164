"""Which SQLite file a job goes on with: its own disk's, or the copy in the run directory; that one restored.

A file on a node's own disk may be what an earlier job has left there before another went on elsewhere; a copy
may be a minute older than its file. What agents and attempts say last decides, by the database's clock.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from orchestrator.scratch.copies import copy_sqlite

_ENDINGS = ("", "-wal", "-shm", "-journal")
_LAST = (
    ("nano_agents", "heartbeat_s"),
    ("nano_agents", "end_s"),
    ("nano_attempts", "start_s"),
    ("nano_attempts", "end_s"),
    ("nano_runs", "start_s"),
    ("nano_runs", "end_s"),
)


@dataclass(frozen=True, slots=True)
class Kept:
    """A whole database: when something happened in it last (since the epoch), and how much it holds."""

    file: Path
    last_s: float
    n_attempts: int
    n_trials: int

    def __str__(self) -> str:
        when = f"{datetime.fromtimestamp(self.last_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
        return f"{self.file} of {when} with {self.n_trials} trials"


def kept_in(file: Path) -> Kept | None:
    """What a file holds; None when it is missing, damaged, or no SQLite database."""
    if not file.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True, timeout=60)) as opened:
            if opened.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                return None
            moments = [_number(opened, f"MAX({column})", table) for table, column in _LAST]
            attempts = _number(opened, "COUNT(*)", "nano_attempts")
            trials = _number(opened, "COUNT(*)", "trials")
    except sqlite3.Error:
        return None
    return Kept(file, max(moments), int(attempts), int(trials))


def _number(opened: sqlite3.Connection, what: str, table: str) -> float:
    """0 where the table is missing or empty."""
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    if opened.execute(query, (table,)).fetchone() is None:
        return 0.0
    return float(opened.execute(f"SELECT {what} FROM {table}").fetchone()[0] or 0)


def newest(local: Path, copy: Path) -> Kept | None:
    """The file to go on with: the one in which something happened last, the local one of two alike."""
    found = [kept for kept in (kept_in(local), kept_in(copy)) if kept is not None]
    return max(found, key=lambda kept: (kept.last_s, kept.n_attempts), default=None)


def restore(local: Path, copy: Path) -> Kept | None:
    """Have the file to go on with at ``local``, and say which it was; None: neither is one.

    A local file that is damaged, or was overtaken, is kept beside under another name. SQLite touches nothing
    where the copy lies, which may be a network file system. Raises ``OSError`` and ``sqlite3.Error`` when the
    copy cannot be put there.
    """
    local.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{local.name}.", dir=local.parent) as scratch:
        staged = Path(scratch) / "copy"
        for ending in ("", "-wal"):
            with suppress(FileNotFoundError):
                shutil.copyfile(f"{copy}{ending}", f"{staged}{ending}")
        chosen = newest(local, staged)
        if chosen is not None and chosen.file == local:
            return chosen
        if local.exists():
            _set_aside(local)
        if chosen is None:
            return None
        copy_sqlite(staged, local)
        return replace(chosen, file=copy)


def _set_aside(file: Path) -> None:
    """With what belongs to it: a log that is left would be applied to the next file of that name."""
    number = 1
    while (aside := file.with_name(f"{file.name}.aside-{number}")).exists():
        number += 1
    for ending in _ENDINGS:
        with suppress(FileNotFoundError):
            file.with_name(f"{file.name}{ending}").rename(f"{aside}{ending}")
