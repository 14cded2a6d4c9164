"""The value that a command leaves in the end: its result file and what it said in; numbers out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from orchestrator.command.errors import CommandFailed
from orchestrator.command.lines import shown_line
from orchestrator.command.message import MAX_TEXT, Message, message_in, numbers_in


def message_of_file(path: Path) -> tuple[Message, bytes] | None:
    """What the command wrote to its result file, and the text; None when it wrote none.

    Raises ``CommandFailed`` when there is something else than a value in it.
    """
    text = _text(path)
    if text is None:
        return None
    numbers = numbers_in(text)
    message = message_in(text) if numbers is None else Message(is_report=False, values=numbers)
    if message is None or message.values is None:
        said = f"is {shown_line(text)!r}" if text.strip() else "is empty"
        raise CommandFailed(f'the command\'s result file {said}; write a number to it, or {{"value": …}}')
    return replace(message, is_report=False), text


def _text(path: Path) -> bytes | None:
    if not path.is_file():  # a pipe would make us wait
        return None
    with path.open("rb") as file:
        return file.read(MAX_TEXT + 1)


def values_of_output(said: tuple[float, ...] | None, last_line: bytes) -> tuple[float, ...]:
    """The values of the last message that had some; else the numbers of the last line.

    Raises ``CommandFailed`` when there are none.
    """
    values = said if said is not None else numbers_in(last_line)
    if values is not None:
        return values
    what = f"its last line is {shown_line(last_line)!r}" if last_line else "it printed nothing"
    raise CommandFailed(
        f'the command gave no value: {what}; the last line must be a number, or some line {{"value": …}}'
    )
