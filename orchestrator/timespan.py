"""A length of time as people write it in; seconds out."""

from __future__ import annotations

import re

RULE = "a number of seconds, or one with s, m, h or d, such as 10m"
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_WITH_UNIT = re.compile(r"(.*[0-9.])\s*([smhd])")


def parse_seconds(text: str) -> float:
    """``90``, ``90s``, ``10m``, ``1.5h``, ``2d``. Raises ``ValueError``, with the rule."""
    found = _WITH_UNIT.fullmatch(text.strip())
    number, unit = found.groups() if found is not None else (text, "")
    try:
        return float(number) * _UNITS[unit]
    except ValueError:
        raise ValueError(f"{text!r} is not {RULE}") from None
