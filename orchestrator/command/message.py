"""What a command says: a line, or the text of its result file, in; numbers and reports out.

A message is a JSON object on one line: ``{"step": 3, "value": 0.4}`` reports an intermediate value,
``{"value": 0.3}`` (without "step") is the trial's own value, ``{"values": [0.3, 12]}`` are those of several
directions. "checkpoint" and "user_attrs" may stand in each, or alone. Other lines are the command's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_TEXT = 2**18  # bytes; what is longer is no message
_MAX_STEP = 2**31 - 1  # Optuna's columns are integers of 32 bits
_KEYS = {"value", "values", "user_attrs", "checkpoint"}
_NUMBER = re.compile(r"[+-]?((\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?|inf|infinity|nan)", re.ASCII | re.IGNORECASE)
_NUMPY = re.compile(r"\b(?:np|numpy)\.float\d+\(([^()]*)\)")  # as numpy 2 shows what stands in a list
_BRACKETS = re.compile(r"[\[(](.*)[\])]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Message:
    """One JSON object. ``problem`` says what of it is left out, and why."""

    is_report: bool  # it has "step"
    step: int | None = None
    values: tuple[float, ...] | None = None
    checkpoint: int | None = None
    user_attrs: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


def message_in(text: bytes) -> Message | None:
    """The message that a line is; None for any other line."""
    data = _object_in(text)
    if data is None or not _KEYS & data.keys():
        return None
    return _message(data)


def numbers_in(text: bytes) -> tuple[float, ...] | None:
    """The numbers that a text consists of, between blanks or commas; None when there is anything else.

    One pair of brackets around them is left out, as Python and numpy print lists and tuples.
    """
    if len(text) > MAX_TEXT:
        return None
    plain = _NUMPY.sub(r"\1", text.decode("utf-8", "replace")).strip()
    bracketed = _BRACKETS.fullmatch(plain)
    words = (bracketed.group(1) if bracketed else plain).replace(",", " ").split()
    if not words or not all(map(_NUMBER.fullmatch, words)):
        return None
    return tuple(map(float, words))


def _object_in(text: bytes) -> dict[str, Any] | None:
    if b'"' not in text or len(text) > MAX_TEXT or not text.lstrip().startswith(b"{"):
        return None  # most lines, and there may be millions
    try:
        data = json.loads(text.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _message(data: Mapping[str, Any]) -> Message:
    is_report = "step" in data
    said = data.get("value", data.get("values"))
    values, step, checkpoint = _values(said), _whole(data.get("step")), _whole(data.get("checkpoint"))
    user_attrs = data.get("user_attrs", {})
    problems = {
        'its "value" is no number': said is not None and values is None,
        'its "step" is no whole number from 0': is_report and step is None,
        'its "checkpoint" is no whole number from 0': "checkpoint" in data and checkpoint is None,
        'its "user_attrs" is no object': not isinstance(user_attrs, dict),
    }
    return Message(
        is_report=is_report,
        step=step,
        values=values,
        checkpoint=checkpoint,
        user_attrs=user_attrs if isinstance(user_attrs, dict) else {},
        problem=", ".join(problem for problem, is_there in problems.items() if is_there),
    )


def _values(said: Any) -> tuple[float, ...] | None:
    """One number or a list of them; None for all else, null too."""
    several = said if isinstance(said, list) else [said]
    if not several or not all(isinstance(one, int | float) and not isinstance(one, bool) for one in several):
        return None
    try:
        return tuple(map(float, several))
    except OverflowError:  # a whole number of hundreds of digits
        return None


def _whole(said: Any) -> int | None:
    if isinstance(said, bool) or not isinstance(said, int | float) or not 0 <= said <= _MAX_STEP:
        return None
    return int(said) if said == int(said) else None
