"""The best value so far as a small plot of block characters: steps in, lines of text out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

_BLOCKS = " ▁▂▃▄▅▆▇█"
_PLAIN = " .:#"  # where a terminal cannot show blocks
_SETTLED = 0.1  # the first tenth of the trials may lie far off: it does not set the scale


def drawn(
    steps: Sequence[tuple[int, float]], finished: int, width: int, height: int, blocks: bool = True
) -> list[str]:
    """``height`` lines of at most ``width`` characters, with the values of top and bottom at their left.

    ``steps`` are the improvements: trials finished by then, and the value. The scale is that of the values
    after the first tenth of the trials; what lies beyond it is drawn at the edge. No lines below two steps.
    """
    found = [(n, value) for n, value in steps if abs(value) < float("inf")]
    if len(found) < 2 or finished < 1:
        return []
    low, high = _scale(found, finished)
    labels = _labels(low, high, height)
    columns = max(1, width - len(labels[0]))
    values = list(_sampled(found, finished, columns))
    levels = [_level(value, low, high) for value in values]
    palette = _BLOCKS if blocks else _PLAIN
    rows = [_row(levels, height - 1 - index, height, palette) for index in range(height)]
    return [f"{label}{row}".rstrip() for label, row in zip(labels, rows, strict=True)]


def _scale(steps: Sequence[tuple[int, float]], finished: int) -> tuple[float, float]:
    """Bottom and top of the plot."""
    early = [value for n, value in steps if n <= _SETTLED * finished]
    shown = [*early[-1:], *(value for n, value in steps if n > _SETTLED * finished)]
    shown = shown if len(shown) > 1 else [value for _, value in steps]
    return min(shown), max(shown)


def _labels(low: float, high: float, height: int) -> list[str]:
    words = [f"{high:.4g}", *[""] * (height - 2), f"{low:.4g}"]
    width = max(map(len, words))
    return [f"{word:>{width}} " for word in words]


def _sampled(steps: Sequence[tuple[int, float]], finished: int, columns: int) -> Iterator[float | None]:
    """The best by the end of each column's share of the trials; None before there was one."""
    place, best = 0, None
    for column in range(columns):
        until = (column + 1) * finished / columns
        while place < len(steps) and steps[place][0] <= until:
            best = steps[place][1]
            place += 1
        yield best


def _level(value: float | None, low: float, high: float) -> float | None:
    """From 0 at the bottom to 1 at the top."""
    if value is None:
        return None
    return min(1.0, max(0.0, (value - low) / (high - low))) if high > low else 0.0


def _row(levels: Sequence[float | None], row: int, height: int, palette: str) -> str:
    """One line, the lowest is row 0: each column is filled up to its level, and shows at least a trace."""
    full = len(palette) - 1
    cells = []
    for level in levels:
        filled = 0 if level is None else max(1, round(level * height * full))
        cells.append(palette[min(full, max(0, filled - row * full))])
    return "".join(cells)
