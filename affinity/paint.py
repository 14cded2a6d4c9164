"""Styled lines as text: a block, and what the terminal, pipe or file can show, come in; text goes out."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TextIO

from affinity.boxes import Block, Segment

_TONES = {"plain": "", "frame": "2", "title": "1", "dim": "2"}
_SLOTS = ("32", "33", "36", "35", "34", "31", "92", "93", "96", "95", "94", "91")
"""SGR parameters (ECMA-48, 8.3.117); neighbours of a machine's slots differ, the 13th is as the first."""

_ASCII = str.maketrans("┌┐└┘─│·…", "++++-|,~")
_NARROWEST = 20


@dataclass(frozen=True, slots=True)
class Look:
    """What can be shown: columns, colours, and characters beyond ASCII."""

    width: int = 80
    has_colour: bool = False
    has_unicode: bool = True

    @classmethod
    def of(cls, stream: TextIO) -> Look:
        """That of a stream: a terminal's, unless NO_COLOR is set (no-color.org); 80 plain columns of a pipe.

        COLUMNS counts, as everywhere.
        """
        is_plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        return cls(
            width=max(_NARROWEST, shutil.get_terminal_size().columns if _width_counts(stream) else 80),
            has_colour=stream.isatty() and not is_plain,
            has_unicode=_can_show(stream, "┌─│·…"),
        )


def paint(block: Block, look: Look) -> str:
    """The lines as text, without blanks at their ends."""
    lines = "\n".join("".join(_painted(segment, look) for segment in _trimmed(line)) for line in block)
    return lines if look.has_unicode else lines.translate(_ASCII)


def _painted(segment: Segment, look: Look) -> str:
    style = segment.style
    code = _SLOTS[style % len(_SLOTS)] if isinstance(style, int) else _TONES[style]
    return f"\x1b[{code}m{segment.text}\x1b[0m" if look.has_colour and code else segment.text


def _trimmed(line: tuple[Segment, ...]) -> tuple[Segment, ...]:
    while line and not line[-1].text.strip():
        line = line[:-1]
    return line


def _width_counts(stream: TextIO) -> bool:
    return stream.isatty() or "COLUMNS" in os.environ


def _can_show(stream: TextIO, characters: str) -> bool:
    try:
        characters.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
