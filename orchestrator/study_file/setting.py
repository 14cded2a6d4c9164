"""One setting that a study file may have: what the file says in; what the flag would have given out."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import SpecError
from orchestrator.storage_url import masked
from orchestrator.timespan import RULE, parse_seconds

NUMBERS_TOO = ("exclude", "n_parallels", "trial_memory", "walltime")  # texts that people write as numbers
_RULES: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a text, the path of a file or folder",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting as the command line knows it, so that file and flag take the same.

    ``name`` is its key in the file, ``flag`` its long name. ``repeats``: a list, of which one value may stand
    alone. ``is_arguments``: a list of KEY=VALUE, for which a table may stand. ``is_time``: seconds, or a
    text with a unit. ``example`` is how its value is called in help texts.
    """

    name: str
    flag: str
    kind: type
    group: str
    help: str
    example: str = ""
    default: Any = None
    choices: tuple[str, ...] = ()
    repeats: bool = False
    is_arguments: bool = False
    is_time: bool = False

    def value(self, given: Any) -> Any:
        """What the flag would have given. Raises ``SpecError`` for another kind of value."""
        if self.is_arguments and isinstance(given, dict):
            return self._pairs(given)
        if not self.repeats:
            return self._one(given)
        if given == [] and self.choices:
            raise self._refused(given, f"one or more of {', '.join(self.choices)}")
        return [self._one(one) for one in (given if isinstance(given, list) else [given])]

    def _one(self, given: Any) -> Any:
        value = self._typed(given)
        if self.choices and value not in self.choices:
            raise self._refused(given, f"one of {', '.join(self.choices)}")
        return value

    def _typed(self, given: Any) -> Any:
        if self.name in NUMBERS_TOO and _is_number_or_time(given):
            return str(given)
        if self.is_time and isinstance(given, str):
            return self._seconds(given)
        if self.kind is float and isinstance(given, int) and not isinstance(given, bool):
            given = _as_float(given)
        wanted = str if self.kind is Path else self.kind
        if not isinstance(given, wanted) or (wanted is int and isinstance(given, bool)):
            raise self._refused(given, RULE if self.is_time else _RULES[self.kind])
        return self._text(given) if isinstance(given, str) else given

    def _seconds(self, given: str) -> float:
        try:
            return parse_seconds(given)
        except ValueError:
            raise self._refused(given, RULE) from None

    def _text(self, given: str) -> str | Path:
        if "\0" in given:
            raise self._refused(given, "without NUL")
        return Path(given) if self.kind is Path else given

    def _pairs(self, table: Mapping[str, Any]) -> list[str]:
        """A table of arguments as the words KEY=VALUE, each value as JSON."""
        for key in table:
            if not key or "=" in key:
                raise SpecError(f"{self.name} has the key '{key}'; a key is the name of an argument.")
        try:
            return [f"{key}={json.dumps(value)}" for key, value in table.items()]
        except TypeError:
            raise self._refused(table, "of texts, numbers, true, false, lists and tables") from None

    def _refused(self, given: Any, rule: str) -> SpecError:
        return SpecError(f"{self.name} is {shown(given)}; it must be {rule}.")


def shown(given: Any) -> str:
    """A value of a file on one line, not too long, without a password."""
    text = masked(f"{given}" if isinstance(given, datetime.date | datetime.time) else repr(given))
    return text if len(text) <= 80 else f"{text[:79]}…"


def _is_number_or_time(given: Any) -> bool:
    """TOML reads 04:00:00 without quotes as a time of day."""
    return isinstance(given, int | float | datetime.time) and not isinstance(given, bool)


def _as_float(given: int) -> float | int:
    try:
        return float(given)
    except OverflowError:  # it is refused as it is
        return given
