"""The SQLite file of a run: its place in the run directory in; where it is at work on this node out.

SQLite over a network file system is slow and for one host at a time. So the file works on this node's own
disk (``scratch_parent``) while a launch is at work, copies of it are put into its place every minute and at
the end, and the next launch, on whatever node, begins with the newest there is.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from pathlib import Path

from orchestrator.errors import RunDirError, StorageError
from orchestrator.scratch.copies import Copier
from orchestrator.scratch.keeper import Keeper
from orchestrator.scratch.marker import Marker
from orchestrator.scratch.place import node_folder, scratch_parent
from orchestrator.scratch.restoring import restore
from orchestrator.scratch.shared_folder import SharedFolder
from orchestrator.storage_url import sqlite_path, sqlite_url

log = logging.getLogger("nano_hpo")

_KEEPER = "keeper.lock"
_open_here: dict[Path, StudyFile] = {}  # by where it is at work; used by one launch at a time


class StudyFile:
    """The file of one run directory, as this process uses it."""

    def __init__(self, home: Path, folder: Path) -> None:
        """Bring the newest there is to ``folder``, on this node's disk, and hold it there."""
        self.home = home
        self.file = folder / home.name
        self._shared = SharedFolder(folder, is_private=True)
        self._copier = Copier(self.file, home)
        self._marker = marker_of(home)
        self._keeper: Keeper | None = None
        self.is_lent = False
        self.notes = [f"The study is at work in {self.file}, on this node; {home} gets a copy every minute."]
        self._shared.join()
        try:
            with self._shared.writing():
                self._restore()
        except BaseException:
            self._shared.leave(lambda: None)
            raise

    def _restore(self) -> None:
        was_there = self.file.exists()
        began_s = time.monotonic()
        kept = restore(self.file, self.home)
        if kept is not None and kept.file == self.home:
            self._copier.is_alike()
            self.notes.append(f"It goes on with {kept} ({time.monotonic() - began_s:.1f} s).")
        elif kept is not None and was_there and not self.is_kept_by_somebody():
            self.notes.append(f"It goes on with what a launch has left on this node: {kept}.")

    def is_kept_by_somebody(self) -> bool:
        """Whether a process of this node says that it is at work on the file."""
        found = self._marker.read()
        return found is not None and found.process.is_here() and found.process.is_alive()

    def keep(self) -> None:
        """From now on copy it every minute, and say that this node is at work."""
        if not self.home.exists():  # a node that is lost from here on takes no run with it
            self.copy()
        if self._keeper is None:
            self._keeper = Keeper(
                self.file.with_name(_KEEPER), lambda: self._marker.beat(self.file), self.copy
            )

    def copy(self) -> bool:
        """Have the copy hold all that the file does."""
        with self._shared.writing():
            return not self.home.parent.is_dir() or self._copier.copy()

    def close(self) -> None:
        """Leave the file; the last one of this node copies it and removes it here."""
        if self._keeper is not None:
            self._keeper.close()
        self._shared.leave(self._go_home)

    def _go_home(self) -> None:
        if self.home.parent.is_dir() and not self._copier.copy():
            log.warning("The whole study is in %s on this node: the next launch here finds it.", self.file)
            return
        self._marker.remove()
        self._copier.forget()
        self.file.with_name(_KEEPER).unlink(missing_ok=True)
        for ending in ("", "-wal", "-shm", "-journal"):
            self.file.with_name(f"{self.file.name}{ending}").unlink(missing_ok=True)


def at_work(url: str, scratch: str | None) -> str:
    """Where the SQLite file of a run is at work for this launch: ``url`` itself, or one of this node's disk.

    ``scratch`` as for ``scratch_parent``. Raises ``UserError``: another host is at work on it, or there is no
    room.
    """
    home = sqlite_path(url)
    if home is None or home in _open_here:
        return url
    known = next((known for known in _open_here.values() if known.home == home), None)
    parent = scratch_parent(home.parent, scratch) if known is None else None
    if known is None and parent is not None:
        known = _opened(home, parent)
    return url if known is None else sqlite_url(known.file)


def _opened(home: Path, parent: Path) -> StudyFile:
    marker = marker_of(home)
    marker.require_nobody_elsewhere(log.warning)
    folder = node_folder("study", home, parent)
    found = marker.read()
    if found is not None and found.process.is_here() and found.file.parent != folder:
        if found.file.exists():
            folder = found.file.parent
        elif found.process.is_alive():
            raise StorageError(
                f"The run in {home.parent} is at work here as process {found.process.pid}, in a folder that "
                f"this process cannot see ({found.file}): wait for it, or name a database server."
            )
    try:
        opened = StudyFile(home, folder)
    except (OSError, sqlite3.Error) as error:
        raise RunDirError(
            f"The study cannot be put into {folder} ({error}); make room, or give another folder of this "
            "node: --scratch (scratch=DIR)."
        ) from None
    _open_here[opened.file] = opened
    return opened


def marker_of(home: Path) -> Marker:
    """What says which node is at work on a file of a run directory."""
    return Marker(home.with_name(f".{home.name}.at-work"))


def _of(url: str) -> StudyFile | None:
    file = sqlite_path(url)
    return _open_here.get(file) if file is not None else None


def keep(url: str) -> list[str]:
    """The run is begun: keep copies of its file from now on. What people should know, a line each."""
    found = _of(url)
    if found is None:
        return []
    found.keep()
    return found.notes


def home_of(url: str) -> str:
    """The place of a file in its run directory; other URLs as they are."""
    found = _of(url)
    return url if found is None else sqlite_url(found.home)


def copied_home(url: str) -> str:
    """Copy it now; where all of it can be read after this launch."""
    found = _of(url)
    return sqlite_url(found.home) if found is not None and found.copy() else url


def lend(url: str) -> None:
    """Others use it through this process, beyond the end of the launch: :func:`leave` it later."""
    found = _of(url)
    if found is not None:
        found.is_lent = True


def leave(url: str | None = None) -> None:
    """The launch is over (None), or others are done with what it has lent to them."""
    for file, found in list(_open_here.items()):
        if (url is None and not found.is_lent) or (url is not None and sqlite_path(url) == file):
            del _open_here[file]
            found.close()
