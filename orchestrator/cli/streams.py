"""The standard streams of a command: as its parent left them in; ones that a verb can rely on out."""

from __future__ import annotations

import io
import os
import sys
from typing import Any


def prepare_streams() -> None:
    """Closed streams swallow what is said; characters that a terminal cannot show are escaped.

    So does standard error whose reader has gone: in ``nano-hpo run … 2>&1 | tee log``, Ctrl-C ends ``tee``
    first, and the run must still end in order.
    """
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115, PTH123 - for as long as we live
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123 - for as long as we live
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if sys.stderr is sys.__stderr__:
        sys.stderr = _forgiving(sys.stderr)


def close_stdout() -> None:
    """What is still buffered goes nowhere, else Python would try again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Forgiving(io.FileIO):
    """A file that nobody may read any more, or on a full disk: what cannot be written is lost."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def _forgiving(stream: Any) -> io.TextIOWrapper:
    raw = _Forgiving(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), stream.encoding, "backslashreplace", line_buffering=True, write_through=True
    )
