"""Passwords in a study file: its tables in; nothing out, or one line where others may read them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.errors import SpecError
from orchestrator.storage_url import ENVIRONMENT, masked

_OTHERS = 0o077  # what group and others may do


def require_private(path: Path, tables: Any) -> None:
    """Refuse a file with a password in it that is not for its owner alone."""
    if path.stat().st_mode & _OTHERS and any(masked(text) != text for text in texts_in(tables)):
        raise SpecError(
            f"{path} holds a password, and others may read it: chmod 600 {shlex.quote(str(path))}. Better, "
            f"leave it out of the file: set {ENVIRONMENT} to the whole URL, or name an option file, as "
            "mysql://USER@HOST/DATABASE?read_default_file=/home/USER/.my.cnf."
        )


def texts_in(value: Any) -> Iterator[str]:
    """Every text in a value of TOML, at any depth."""
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts_in(part)
