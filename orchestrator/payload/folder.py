"""The folder of a run's array files: arrays in, files that the workers of this node map out.

The agents of one node that work on the run share it. Each holds a lock on a file in it while it lives; the
first to come removes what a killed agent has left, the last to leave removes the folder. The kernel releases
the locks of those that die.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from orchestrator.errors import RunDirError
from orchestrator.paths import RunPaths, written_whole
from orchestrator.payload.contents import Array, digest, pieces
from orchestrator.sql.network_fs import network_file_system

_USERS, _WRITER = "users.lock", "writer.lock"
_OURS = re.compile(r"\.?[0-9a-f]{40}\.array(\.\d+\.tmp)?|writer\.lock")  # the folder may be the user's, too


def place_of_arrays(paths: RunPaths) -> Path:
    """The folder for the arrays of a run: in its own, or on this node's disk where that one is elsewhere."""
    if network_file_system(paths.root) is None:
        return paths.arrays
    name = hashlib.sha256(os.fsencode(paths.root.resolve())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"nano-hpo-{os.getuid()}-{name}"


class ArrayFolder:
    """Files of arrays, each content once, here from the first :meth:`write` until the block ends.

    ::

        with ArrayFolder(place_of_arrays(paths)) as arrays:
            dump(objective, path, arrays)
            …  # workers load it
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._added: dict[str, Array] = {}
        self._users: IO[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._users is not None:
            self._leave(self._users)
            self._users = None

    def add(self, array: Array) -> str:
        """The name of the file that will hold the array once :meth:`write` was called."""
        name = f"{digest(array)}.array"
        self._added[name] = array
        return name

    def write(self) -> None:
        """Write what was added and is not there yet; remove what a killed agent has left.

        Raises ``RunDirError`` in one line when there is no room, leaving no part of a file.
        """
        if not self._added and not (self.path / _USERS).exists():
            return
        try:
            self._users = self._users or self._join()
            with self._writing():
                self._write({n: array for n, array in self._added.items() if not (self.path / n).exists()})
        except OSError as error:
            raise self._refusal(sum(a.nbytes for a in self._added.values()), str(error.strerror)) from error
        self._added.clear()

    def _write(self, missing: Mapping[str, Array]) -> None:
        needed = sum(array.nbytes for array in missing.values())
        if needed > shutil.disk_usage(self.path).free:
            raise self._refusal(needed, "too little room")
        for name, array in missing.items():
            with written_whole(self.path / name, mode=0o600) as temporary:
                _write_array(array, temporary)

    def _refusal(self, needed: int, why: str) -> RunDirError:
        free = ""
        with suppress(OSError):
            free = f", {_size(shutil.disk_usage(_there(self.path)).free)} are free"
        return RunDirError(
            f"The arrays of the objective need {_size(needed)} in {self.path}{free} ({why}); make room, "
            "choose another --run-dir (run_dir=DIR), or, if it is a temporary folder, another TMPDIR."
        )

    # Who uses the folder

    def _join(self) -> IO[str]:
        """Make the folder if it is not there, and hold it; the first to come finds it empty."""
        while True:
            try:
                self._make()
                users = _opened(self.path / _USERS)
            except FileNotFoundError:  # somebody has just removed the folder
                continue
            if _lock(users, fcntl.LOCK_EX | fcntl.LOCK_NB) and self._holds(users):
                self._remove_files()
            _lock(users, fcntl.LOCK_SH)
            if self._holds(users):
                self._sweep()
                return users
            users.close()

    def _make(self) -> None:
        with suppress(FileExistsError):
            self.path.mkdir(mode=0o700, parents=True)
        found = self.path.lstat()
        is_mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
        if not is_mine or (found.st_mode & 0o022 and self.path.parent == Path(tempfile.gettempdir())):
            raise RunDirError(
                f"{self.path} is not a folder of yours alone; remove it, or set another TMPDIR."
            )

    def _leave(self, users: IO[str]) -> None:
        """Let go of the folder; the last one removes it."""
        with users:
            if _lock(users, fcntl.LOCK_EX | fcntl.LOCK_NB) and self._holds(users):
                self._remove_files()
                (self.path / _USERS).unlink(missing_ok=True)
                with suppress(OSError):  # somebody is coming, or the folder has files of the user's
                    self.path.rmdir()

    def _sweep(self) -> None:
        """Remove the folders that killed agents of other runs, of this study or on this node, have left."""
        if self.path.name == "arrays":
            found = self.path.parent.parent.glob(f"run-*/arrays/{_USERS}")
        else:
            found = self.path.parent.glob(f"nano-hpo-{os.getuid()}-*/{_USERS}")
        for users in found:
            with suppress(OSError):  # removed meanwhile, or somebody else's
                ArrayFolder(users.parent)._leave(users.open("r+", encoding="utf-8"))

    def _holds(self, users: IO[str]) -> bool:
        """Whether what we locked still stands in the folder."""
        try:
            return os.path.samestat(os.fstat(users.fileno()), (self.path / _USERS).stat())
        except FileNotFoundError:
            return False

    def _remove_files(self) -> None:
        for path in list(self.path.iterdir()):
            if _OURS.fullmatch(path.name):
                path.unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One agent writes at a time; the next one finds what it has written."""
        with _opened(self.path / _WRITER) as writer:
            _lock(writer, fcntl.LOCK_EX)
            yield


def _opened(path: Path) -> IO[str]:
    return open(path, "a", opener=lambda name, flags: os.open(name, flags, 0o600))


def _lock(file: IO[str], how: int) -> bool:
    """Whether it is locked. On a file system without locks it never is, and nothing is removed there."""
    try:
        fcntl.flock(file.fileno(), how)
    except OSError:
        return False
    return True


def _write_array(array: Array, path: Path) -> None:
    with open(path, "wb", buffering=0, opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        for piece in pieces(array):
            left = piece
            while left:
                left = left[file.write(left) :]


def _there(path: Path) -> Path:
    """The folder, or the one that it would be in."""
    return path if path.exists() else path.parent


def _size(n_bytes: int) -> str:
    """``1.5 GiB``, ``16 MiB``."""
    return f"{n_bytes / 2**30:.1f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:.0f} MiB"
