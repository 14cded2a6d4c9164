"""The file that an array is mapped from: an array in; the user's file and the place in it out, or None.

Only files that hold what memory holds count: maps that are shared, as ``np.memmap`` makes them with the modes
"r", "r+" and "w+"; changes of a map with mode "c" are private. A file that was replaced since (another one of
that name stands there now) does not count either: /proc/self/maps, the kernel's list (proc(5)), tells.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orchestrator.payload.contents import Array


@dataclass(frozen=True, slots=True)
class FilePart:
    """A place in a file: ``offset`` in bytes."""

    path: Path
    offset: int


@dataclass(frozen=True, slots=True)
class _Map:
    """A line of /proc/self/maps, as seen from one address in it."""

    is_shared: bool
    offset: int  # of the address, in the file
    file: tuple[str, str]  # device and inode


def file_behind(array: Array) -> FilePart | None:
    """Where the content of a contiguous array stands in the file of the user's ``np.memmap``."""
    root = _memmap_below(array)
    if root is None or root.filename is None or not array.flags.forc:
        return None
    mapped = _map_at(array.ctypes.data)
    if mapped is None or not mapped.is_shared:
        return None
    if root.mode in ("r+", "w+"):
        root.flush()
    path = Path(root.filename)
    return FilePart(path, mapped.offset) if _is_that_file(path, mapped.file) else None


def _memmap_below(array: Array) -> np.memmap[tuple[int, ...], np.dtype[np.generic]] | None:
    """The memmap that owns the memory of a view, or of a view of a view."""
    owner: object = array
    while isinstance(owner, np.ndarray) and not isinstance(owner.base, mmap.mmap):
        owner = owner.base
    return owner if isinstance(owner, np.memmap) else None


def _map_at(address: int) -> _Map | None:
    """The map that holds an address: «7f00-7f20 r--s 00001000 fd:00 1234   /data/x.npy»."""
    try:
        lines = Path("/proc/self/maps").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    for line in lines:
        span, rights, offset, device, inode, *_ = line.split(maxsplit=5)
        start, end = (int(part, 16) for part in span.split("-"))
        if start <= address < end:
            return _Map(rights.endswith("s"), int(offset, 16) + address - start, (device, inode))
    return None


def _is_that_file(path: Path, file: tuple[str, str]) -> bool:
    """Whether ``path`` names that file still: mapped anew, it has the same inode.

    The file's own status will not do: some file systems tell another device there than in the list of maps.
    """
    try:
        with path.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as fresh:
            seen = np.frombuffer(fresh, np.uint8, count=1)
            mapped = _map_at(seen.ctypes.data)
            del seen  # else the map could not be closed
            return mapped is not None and mapped.file == file
    except (OSError, ValueError):
        return False
