"""Data of a line in; a value of the kind that was asked for out, else ``BadLine`` says what it is instead."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa

from orchestrator.carry.content import Attributes, Row

T = TypeVar("T")

_NOT_FINITE = ("inf", "-inf", "nan")
_INT64 = range(-(2**63), 2**63)  # SQLite keeps it in any column; what a database keeps less of, it says


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
    return as_whole(step, "step"), as_number(value)


def as_whole(value: Any, what: str) -> int:
    """An integer that a database can hold."""
    if type(value) is not int:
        raise BadLine(f"{what} {short(value)} is no whole number")
    if value not in _INT64:
        raise BadLine(f"{what} {short(value)} needs more than 64 bits")
    return value


def as_number(value: Any) -> float:
    """A float, finite or not."""
    if isinstance(value, str) and value in _NOT_FINITE:
        return float(value)
    return _as_finite(value, "value")


def _as_finite(value: Any, what: str) -> float:
    """A number, as JSON has them; of one that is too large it makes an infinity."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadLine(f"{what} {short(value)} is no number")
    if abs(value) > sys.float_info.max:
        raise BadLine(f"{what} {short(value)} is larger than any float")
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
    return {column.name: _as_cell(data.get(column.name), column) for column in columns}


def _as_cell(value: Any, column: sa.Column[Any]) -> Any:
    kind = column.type.python_type
    if value is None and column.nullable:
        return None
    if kind is int:
        return as_whole(value, f"'{column.name}'")
    if kind is float:
        return _as_finite(value, f"'{column.name}'")
    if not isinstance(value, kind):
        raise BadLine(f"'{column.name}' is {short(value)}, not of type {kind.__name__}")
    return value


def short(value: Any) -> str:
    """A value as a message can show it."""
    text = repr(value)
    return text if len(text) < 40 else f"{text[:36]} …"
