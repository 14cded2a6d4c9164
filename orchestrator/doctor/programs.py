"""Other programs, asked for a word: a command in; its answer within a few seconds, or None, out."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

ANSWER_S = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program said on both its streams, and whether it ended well."""

    text: str
    is_well: bool

    @property
    def last_line(self) -> str:
        """Where programs say why they failed."""
        return (self.text.strip().splitlines() or [""])[-1].strip()


def answer(command: Sequence[str], answer_s: float = ANSWER_S) -> Answer | None:
    """The answer of a program; None for one that does not start, or is not done in time and is ended."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError:
        return None
    with process:
        try:
            said, _ = process.communicate(timeout=answer_s)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            return None
    return Answer(said, process.returncode == 0)
