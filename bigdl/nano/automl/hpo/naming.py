"""The names of parameters: a place in a recipe in, the old system's names out, and where code stands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

SPLITTER = "\u2581"
CHOICE = "choice"
_OURS = "bigdl.nano."


def parameter_name(path: Sequence[str], prefix: str | None) -> str:
    """``units``, ``dense_1:units``, ``layer▁0▁units``: the path, behind the prefix that parts equal names."""
    name = SPLITTER.join(path)
    return f"{prefix}:{name}" if prefix else name


def calling_place() -> str:
    """File and line of the code that called us, for people."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_OURS):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
