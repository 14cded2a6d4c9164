"""Rows of text in; columns side by side out."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence

from orchestrator.names import on_one_line


def columns(rows: Sequence[Sequence[str]]) -> str:
    """One line a row, whatever its cells say."""
    cells = [[on_one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(_line(row, widths) for row in cells)


def for_screen(text: str) -> str:
    """Lines cut to the terminal's width, if they go to one; whole for a file or a program."""
    if not sys.stdout.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return "\n".join(line if len(line) <= width else f"{line[: width - 1]}…" for line in text.split("\n"))


def _line(row: Iterable[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
