"""Values in; TOML, as people write it on one line, out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import SpecError

_BARE = re.compile(r"[A-Za-z0-9_-]+")  # a key that needs no quotes


def toml_text(value: Any) -> str:
    """The value as TOML: texts, numbers, true and false, lists and tables of them.

    Raises ``SpecError`` for what TOML has no form for: nothing, and bytes that are no characters.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str | Path):
        return _quoted(str(value))
    if isinstance(value, Mapping):
        pairs = [f"{key_text(key)} = {toml_text(one)}" for key, one in value.items()]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_text, value))}]"
    raise SpecError(f"{value!r} cannot be written to a TOML file.")


def key_text(key: str) -> str:
    """A key, in quotes where it needs them."""
    return key if _BARE.fullmatch(key) else _quoted(key)


def _quoted(text: str) -> str:
    """TOML's basic strings are JSON's, but for one character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SpecError(f"{text!r} cannot be written: it has bytes that are not UTF-8.") from None
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
