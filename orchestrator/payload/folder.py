"""The folder of a run's array files: arrays in, files that the workers of this node map out.

The agents of one node that work on the run share it. Each holds a lock on a file in it while it lives; the
first to come removes what a killed agent has left, the last to leave removes the folder. The kernel releases
the locks of those that die.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator.errors import RunDirError
from orchestrator.paths import RunPaths, written_whole
from orchestrator.payload.contents import Array, digest, pieces
from orchestrator.scratch.place import node_folder, scratch_parent
from orchestrator.scratch.shared_folder import USERS, SharedFolder

_OURS = re.compile(r"\.?[0-9a-f]{40}\.array(\.\d+\.tmp)?|writer\.lock")  # the folder may be the user's, too


def place_of_arrays(paths: RunPaths, scratch: str | None = None) -> Path:
    """The folder for the arrays of a run: in its own, or on this node's disk (``scratch_parent``)."""
    parent = scratch_parent(paths.root, scratch)
    return paths.arrays if parent is None else node_folder("", paths.root, parent)


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
        self._shared = SharedFolder(path, is_private=path.name != "arrays")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._shared.leave(self._remove_files)

    def add(self, array: Array) -> str:
        """The name of the file that will hold the array once :meth:`write` was called."""
        name = f"{digest(array)}.array"
        self._added[name] = array
        return name

    def write(self) -> None:
        """Write what was added and is not there yet; remove what a killed agent has left.

        Raises ``RunDirError`` in one line when there is no room, leaving no part of a file.
        """
        if not self._added and not (self.path / USERS).exists():
            return
        try:
            if not self._shared.is_used:
                self._shared.join(self._remove_files)
                self._sweep()
            with self._shared.writing():
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

    def _sweep(self) -> None:
        """Remove the folders that killed agents of other runs, of this study or on this node, have left."""
        if self.path.name == "arrays":
            found = self.path.parent.parent.glob(f"run-*/arrays/{USERS}")
        else:
            found = self.path.parent.glob(f"nano-hpo-{os.getuid()}-*/{USERS}")
        for users in found:
            other = ArrayFolder(users.parent)
            other._shared.sweep(other._remove_files)

    def _remove_files(self) -> None:
        for path in list(self.path.iterdir()):
            if _OURS.fullmatch(path.name):
                path.unlink(missing_ok=True)


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
