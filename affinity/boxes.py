"""Text laid out in boxes: blocks of styled lines come in, one block goes out. Knows nothing of machines.

A block is a tuple of lines, a line a tuple of segments. Lines of a block may differ in length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

Tone = Literal["plain", "frame", "title", "dim"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a line in one style: a tone, or the number of the slot that it speaks of."""

    text: str
    style: Tone | int = "plain"


Line = tuple[Segment, ...]
Block = tuple[Line, ...]


def text(line: Line) -> str:
    """The line without its styles."""
    return "".join(segment.text for segment in line)


def width_of(block: Block) -> int:
    """Columns of the longest line."""
    return max((len(text(line)) for line in block), default=0)


def flow(blocks: Iterable[Block], width: int, gap: int = 1) -> Block:
    """Blocks side by side, their tops in line, in as many rows as ``width`` needs.

    A block that is wider than that has a row of its own.
    """
    return tuple(line for row in _rows(blocks, width, gap) for line in _beside(row, gap))


def columns(blocks: Sequence[Block], width: int, least: int = 0, gap: int = 1) -> Block:
    """Blocks in rows of like length, each as wide as the widest, ``least`` at least: all are aligned."""
    widest = max(least, *map(width_of, blocks))
    most = max(1, (width + gap) // (widest + gap))
    in_a_row = ceil(len(blocks) / ceil(len(blocks) / most))
    padded = (tuple(_padded(line, widest) for line in block) for block in blocks)
    return flow(padded, in_a_row * (widest + gap) - gap, gap)


def boxed(title: str, inside: Block, width: int) -> Block:
    """A frame around a block, the title in its upper edge; titles that ``width`` has no room for are cut."""
    if len(title) > width - 4:
        title = f"{title[: max(1, width - 5)]}…"
    inner = max(width_of(inside), len(title))
    top = (_frame("┌ "), Segment(title, "title"), _frame(f" {'─' * (inner - len(title))}┐"))
    bottom = (_frame(f"└{'─' * (inner + 2)}┘"),)
    middle = ((_frame("│ "), *_padded(line, inner), _frame(" │")) for line in inside)
    return (top, *middle, bottom)


def _frame(characters: str) -> Segment:
    return Segment(characters, "frame")


def _rows(blocks: Iterable[Block], width: int, gap: int) -> Iterator[list[Block]]:
    row: list[Block] = []
    used = 0
    for block in blocks:
        needed = width_of(block)
        if row and used + gap + needed > width:
            yield row
            row, used = [], 0
        used += needed + (gap if row else 0)
        row.append(block)
    if row:
        yield row


def _beside(row: Sequence[Block], gap: int) -> Iterator[Line]:
    widths = [width_of(block) for block in row]
    for number in range(max(map(len, row))):
        lines = [block[number] if number < len(block) else () for block in row]
        padded = [_padded(line, width + gap) for line, width in zip(lines[:-1], widths[:-1], strict=True)]
        yield tuple(segment for line in (*padded, lines[-1]) for segment in line)


def _padded(line: Line, width: int) -> Line:
    lacking = width - len(text(line))
    return (*line, Segment(" " * lacking)) if lacking > 0 else line
