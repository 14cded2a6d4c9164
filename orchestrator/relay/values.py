"""What travels in a message: numbers, texts, bytes and dates in; JSON in ASCII out, and back again exactly.

JSON knows no bytes, dates and decimals: each is an object with its kind and its text. Nothing else is an
object, so what arrives can be no other type than those named here, whoever has sent it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any


def _parts(value: timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


_Kind = tuple[type, Callable[[Any], Any], Callable[[Any], Any]]
_KINDS: Mapping[str, _Kind] = {
    "datetime": (datetime, datetime.isoformat, datetime.fromisoformat),  # before date, which it is as well
    "date": (date, date.isoformat, date.fromisoformat),
    "time": (time, time.isoformat, time.fromisoformat),
    "timedelta": (timedelta, _parts, lambda parts: timedelta(*parts)),
    "decimal": (Decimal, str, Decimal),
}


def encoded(message: Any) -> bytes:
    """A message of lists, tuples and the types above as bytes; ``TypeError`` for any other type."""
    return _encoder.encode(message).encode("ascii")


def decoded(data: bytes) -> Any:
    """The inverse of :func:`encoded`, with lists for tuples; ``ValueError`` for what it cannot have made."""
    try:
        return _decoder.decode(data.decode("ascii"))
    except (ValueError, KeyError, TypeError, ArithmeticError) as error:
        raise ValueError(f"not a message: {error!r}") from None


def _tagged(value: Any) -> dict[str, Any]:
    """JSON's form of what JSON does not know."""
    if isinstance(value, bytes | bytearray | memoryview):
        return {"bytes": base64.b64encode(value).decode("ascii")}
    for kind, (known, write, _) in _KINDS.items():
        if isinstance(value, known):
            return {kind: write(value)}
    raise TypeError(f"a value of type '{type(value).__name__}' cannot travel to a database")


def _untagged(found: dict[str, Any]) -> Any:
    ((kind, written),) = found.items()
    if kind == "bytes":
        return base64.b64decode(written)
    return _KINDS[kind][2](written)


_encoder = json.JSONEncoder(default=_tagged, separators=(",", ":"))
_decoder = json.JSONDecoder(object_hook=_untagged)
