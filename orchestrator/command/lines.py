"""Chunks of output in, whole lines out, in little memory however long a line is."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.command.message import MAX_TEXT


class Lines:
    """Cuts output at line feeds and carriage returns (progress bars); knows the last line that says anything.

    Of a line longer than ``MAX_TEXT`` only so much is kept that it can be told to be too long.
    """

    def __init__(self) -> None:
        self.last = b""  # the last line that is not blank
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk ends."""
        lines = (self._rest + chunk).splitlines()
        is_whole = chunk.endswith((b"\n", b"\r"))
        self._rest = b"" if is_whole or not lines else lines.pop()[: MAX_TEXT + 1]
        return self._kept(lines)

    def finish(self) -> list[bytes]:
        """The last line, when no line feed has ended it."""
        lines, self._rest = [self._rest] if self._rest else [], b""
        return self._kept(lines)

    def _kept(self, lines: Sequence[bytes]) -> list[bytes]:
        said = (line for line in reversed(lines) if not line.isspace() and line)
        self.last = next(said, self.last)[: MAX_TEXT + 1]
        return list(lines)


def shown_line(line: bytes, limit: int = 300) -> str:
    """A line for people: what is no text is replaced, and a long one cut."""
    text = "".join(
        c if c.isprintable() else " " for c in line[: 4 * limit].decode("utf-8", "replace")
    ).strip()
    return text if len(text) <= limit else f"{text[:limit]}…"
