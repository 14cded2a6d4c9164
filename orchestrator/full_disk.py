"""Output that a full disk swallows: a worker's log is worth less than its trials."""

from __future__ import annotations

import errno
import io
import os
import sys

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)


def forgive_full_disks() -> None:
    """Let ``print`` and logging of this process go on where the log's disk has no room: that text is lost."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None:
            setattr(sys, name, _lines(stream.fileno()))


def _lines(descriptor: int) -> io.TextIOWrapper:
    """Text to a descriptor, written line by line: what was said before a crash is in the log."""
    raw = io.BufferedWriter(_Forgiving(descriptor, "wb", closefd=False))  # type: ignore[type-var]
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)


class _Forgiving(io.FileIO):
    """A file that takes what it has no room for."""

    def write(self, data: bytes) -> int:  # type: ignore[override]  # any buffer
        """Write what there is room for, and say that it was all."""
        try:
            return os.write(self.fileno(), data)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            return len(data)
