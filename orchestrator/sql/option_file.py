"""MySQL's option files, as far as we must know them: a file in; its options and who may read it out.

The driver reads them by itself, password included. We look for what it might overlook (``ssl-mode``, which
MariaDB's client library does not know) and for a password that everybody may read.
"""

from __future__ import annotations

import configparser
import stat
from collections.abc import Mapping
from pathlib import Path

_GROUPS = ("client", "client-server", "client-mariadb", "mysql")


def read_options(path: Path, group: str | None = None) -> Mapping[str, str]:
    """The options of a client, and of ``group`` over them; names with hyphens, a bare flag as ``"1"``.

    An option file that cannot be understood has none: what is wrong with it, the driver says.
    """
    parser = configparser.RawConfigParser(
        allow_no_value=True, strict=False, delimiters=("=",), default_section="", interpolation=None
    )
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        parser.read_string("\n".join(line for line in text.splitlines() if not line.startswith("!")))
    except (OSError, configparser.Error):
        return {}
    options: dict[str, str] = {}
    for name in (*_GROUPS[:3], *([group] if group else [])):
        if parser.has_section(name):
            options |= {key.replace("_", "-"): _plain(value) for key, value in parser.items(name)}
    return options


def _plain(value: str | None) -> str:
    return "1" if value is None else value.strip().strip("'\"")


def exposed_password(path: Path) -> str | None:
    """One line when everybody on the machine may read the file and it holds a password."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    if not mode & stat.S_IROTH or "password" not in read_options(path, None):
        return None
    return f"{path} holds a password and everybody may read it; better: chmod 600 {path}"
