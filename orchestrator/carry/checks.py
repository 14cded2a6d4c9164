"""Data of a line in; a value of the kind that was asked for out, else ``BadLine`` says what it is instead."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa

from orchestrator.carry.content import Attributes, Row

T = TypeVar("T")

_SPECIAL = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


class BadLine(Exception):
    """A line that is not what it should be; the message says what, without the line's number."""


def as_object(line: str) -> dict[str, Any]:
    """The JSON object that the line is."""
    try:
        data = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BadLine(f"it is no JSON ({error})") from None
    if not isinstance(data, dict):
        raise BadLine("it is no JSON object")
    return data


def _refuse(token: str) -> None:
    raise ValueError(f"{token} is not allowed")


def field(data: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """A field that must be there."""
    value = data.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise BadLine(f"'{name}' is {short(value)}, not of type {kind.__name__}")
    return value


def dict_field(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object, empty when it is not there."""
    return field(data, name, dict) if name in data else {}


def list_field(data: Mapping[str, Any], name: str) -> list[Any]:
    """An array, empty when it is not there."""
    return field(data, name, list) if name in data else []


def attributes_field(data: Mapping[str, Any], name: str) -> Attributes:
    """Attributes, as the JSON texts that Optuna stores."""
    texts = {key: json.dumps(value) for key, value in dict_field(data, name).items()}
    as_text = dict_field(data, f"{name}_as_text")
    return texts | {key: field(as_text, key, str) for key in as_text}


def as_choice(known: Mapping[str, T], name: Any, what: str) -> T:
    """What is known by that name."""
    if not isinstance(name, str) or name not in known:
        raise BadLine(f"{short(name)} is no {what}; known are {', '.join(known)}")
    return known[name]


def as_pair(data: Any, what: str) -> tuple[Any, Any]:
    """An array of two."""
    if not isinstance(data, list) or len(data) != 2:
        raise BadLine(f"{what} is {short(data)}, not a pair")
    return data[0], data[1]


def as_step(data: Any) -> tuple[int, float]:
    """A step and what was reported for it."""
    step, value = as_pair(data, "a report")
    if type(step) is not int:
        raise BadLine(f"step {short(step)} is no whole number")
    return step, as_number(value)


def as_number(value: Any) -> float:
    """A float, finite or not."""
    if isinstance(value, str) and value in _SPECIAL:
        return _SPECIAL[value]
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1.8e308:
        raise BadLine(f"{short(value)} is no number")
    return float(value)


def as_time(value: Any) -> datetime | None:
    """A moment as naive UTC; null is None."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value.removesuffix("Z"))
    except (AttributeError, ValueError):
        moment = None
    if moment is None or moment.tzinfo is not None or not value.endswith("Z"):
        raise BadLine(f"{short(value)} is no time in UTC like 2026-01-31T12:00:00.000000Z")
    return moment


def as_row(data: Any, columns: Sequence[sa.Column[Any]]) -> Row:
    """A row of a table of ours by its columns; what is not there is NULL where that may be."""
    if not isinstance(data, dict):
        raise BadLine(f"{short(data)} is no row")
    row = {column.name: data.get(column.name) for column in columns}
    for column in columns:
        value, kind = row[column.name], column.type.python_type
        if value is None and column.nullable:
            continue
        wanted = (int, float) if kind is float else kind
        if isinstance(value, bool) or not isinstance(value, wanted):
            raise BadLine(f"'{column.name}' is {short(value)}, not of type {kind.__name__}")
    return row


def short(value: Any) -> str:
    """A value as a message can show it."""
    text = repr(value)
    return text if len(text) < 40 else f"{text[:36]} …"
