"""TOML files that people write: a path in; its tables out, or one line that says what is wrong where."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import SpecError

_END = "at end of document"  # where tomllib names no line


def read_toml(path: Path, advice: str) -> dict[str, Any]:
    """The tables of a file. ``advice`` is the next step where there is none; ``SpecError`` names the line."""
    try:
        tables = _parsed(path.read_bytes())
        _require_bounded(tables)
    except (FileNotFoundError, NotADirectoryError):
        raise SpecError(f"There is no file {path}; {advice}.") from None
    except OSError as error:
        raise SpecError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{path} is not TOML: {error}.") from None
    return tables


def respelled(table: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    """The table with ``new`` for ``old`` in its keys; ``SpecError`` where that makes one of two keys."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace(old, new)
        if name in found:
            raise SpecError(f"'{name}' is there twice, with - and with _; write it once.")
        found[name] = value
    return found


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode("utf-8-sig"))  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"it is not UTF-8 (at line {line})") from None
    except tomllib.TOMLDecodeError as error:
        last_line = data.count(b"\n", 0, len(data.rstrip())) + 1
        raise ValueError(str(error).replace(_END, f"at line {last_line}, the end")) from None


def _require_bounded(value: Any) -> None:
    """TOML's whole numbers have 64 bits; Python's reader takes longer ones, which Python does not print."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("a whole number in it has more than 64 bits")
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _require_bounded(part)
