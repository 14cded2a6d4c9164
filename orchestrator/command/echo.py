"""What a command writes goes on to this process's own output: chunks in; no error out, whatever happens."""

from __future__ import annotations

import os
from typing import TextIO


class Echo:
    """Hands bytes on to a stream of this process, its log as a rule.

    A full disk or a closed pipe costs the text and not the trial.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._ends_line = True

    def write(self, chunk: bytes) -> None:
        """As it is, or as text where the stream has no descriptor (a notebook)."""
        if self._stream is None or not chunk:
            return
        self._ends_line = chunk.endswith(b"\n")
        try:
            self._stream.flush()
            descriptor = _descriptor(self._stream)
            if descriptor is None:
                self._stream.write(chunk.decode("utf-8", "replace"))
            else:
                _write_all(descriptor, chunk)
        except (OSError, ValueError):  # the disk is full; nobody reads any more; the stream is closed
            pass

    def finish(self) -> None:
        """End the last line, so that what follows in the log begins a new one."""
        if not self._ends_line:
            self.write(b"\n")


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None


def _write_all(descriptor: int, chunk: bytes) -> None:
    while chunk:
        chunk = chunk[os.write(descriptor, chunk) :]
