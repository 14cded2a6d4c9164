"""A folder that several processes of this node use: each holds a lock in it while it lives.

The first to come may clean up what a killed one has left, the last to leave may remove all. The kernel
releases the locks of those that die.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from orchestrator.errors import RunDirError

USERS = "users.lock"
WRITER = "writer.lock"


class SharedFolder:
    """One process's use of it. ``is_private``: it lies where others could have made one of that name."""

    def __init__(self, path: Path, is_private: bool) -> None:
        self.path = path
        self._is_private = is_private
        self._users: IO[str] | None = None

    @property
    def is_used(self) -> bool:
        """Whether this process holds it."""
        return self._users is not None

    def join(self, first: Callable[[], None] = lambda: None) -> None:
        """Make the folder if it is not there, and hold it; ``first`` is for who comes when nobody is here.

        Raises ``OSError``, and ``RunDirError`` when the folder is not this user's alone.
        """
        while self._users is None:
            try:
                self._make()
                users = opened(self.path / USERS)
            except FileNotFoundError:  # somebody has just removed the folder
                continue
            if lock(users, fcntl.LOCK_EX | fcntl.LOCK_NB) and self._holds(users):
                first()
            lock(users, fcntl.LOCK_SH)
            if self._holds(users):
                self._users = users
            else:
                users.close()

    def _make(self) -> None:
        with suppress(FileExistsError):
            self.path.mkdir(mode=0o700, parents=True)
        found = self.path.lstat()
        is_mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
        if not is_mine or (self._is_private and found.st_mode & 0o022):
            raise RunDirError(
                f"{self.path} is not a folder of yours alone; remove it, or set another TMPDIR."
            )

    def leave(self, last: Callable[[], None]) -> None:
        """Let go of it; the last one calls ``last``, and the folder goes if nothing is left in it."""
        users, self._users = self._users, None
        if users is not None:
            self._leave(users, last)

    def sweep(self, last: Callable[[], None]) -> None:
        """Remove what killed processes have left, if nobody is here."""
        with suppress(OSError):  # removed meanwhile, or somebody else's
            self._leave((self.path / USERS).open("r+", encoding="utf-8"), last)

    def _leave(self, users: IO[str], last: Callable[[], None]) -> None:
        with users:
            if lock(users, fcntl.LOCK_EX | fcntl.LOCK_NB) and self._holds(users):
                last()
                for name in (USERS, WRITER):
                    (self.path / name).unlink(missing_ok=True)
                with suppress(OSError):  # somebody is coming, or there are files of the user's
                    self.path.rmdir()

    def _holds(self, users: IO[str]) -> bool:
        """Whether what we locked still stands in the folder."""
        try:
            return os.path.samestat(os.fstat(users.fileno()), (self.path / USERS).stat())
        except FileNotFoundError:
            return False

    @contextmanager
    def writing(self) -> Iterator[None]:
        """In this block one process writes; the next one finds what it has written."""
        with opened(self.path / WRITER) as writer:
            lock(writer, fcntl.LOCK_EX)
            yield


def opened(path: Path) -> IO[str]:
    """A file for a lock, made if need be."""
    return open(path, "a", opener=lambda name, flags: os.open(name, flags, 0o600))


def lock(file: IO[str], how: int) -> bool:
    """Whether it is locked. On a file system without locks it never is, and nothing is removed there."""
    try:
        fcntl.flock(file.fileno(), how)
    except OSError:
        return False
    return True
