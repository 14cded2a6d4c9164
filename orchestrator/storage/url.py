"""Storage URLs: what the user typed in, a URL for SQLAlchemy out; masked wherever people read it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from orchestrator.errors import StorageError

ENVIRONMENT = "NANO_HPO_STORAGE"
# Up to the last @ of the word: a password may hold any character; better to mask too much than too little.
_PASSWORD = re.compile(r"(?P<head>[a-z][\w+.-]*://[^\s:/@?]*:)\S*(?=@)")
_QUERY_PASSWORD = re.compile(r"(?P<head>[?&](?:password|passwd|ssl_key_password)=)[^&\s'\"]*", re.IGNORECASE)
_SCHEMES = ("sqlite", "mysql", "mariadb", "postgresql")


def masked(text: str) -> str:
    """The text with every password of a URL in it replaced by ``***``."""
    return _QUERY_PASSWORD.sub(r"\g<head>***", _PASSWORD.sub(r"\g<head>***", text))


def sqlite_url(path: Path) -> str:
    """The URL of an SQLite file; any path works, also one with spaces."""
    return f"sqlite:///{path.resolve()}"


def chosen_url(given: str | None) -> str | None:
    """The storage asked for: the argument, else the environment variable NANO_HPO_STORAGE, else None."""
    url = given or os.environ.get(ENVIRONMENT) or None
    return checked(url) if url else None


def checked(url: str) -> str:
    """The URL if its form is one we can open; a relative SQLite path is made absolute."""
    scheme = url.partition("://")[0].partition("+")[0]
    if "://" not in url or scheme not in _SCHEMES:
        raise StorageError(
            f"Storage '{masked(url)}' is not a database URL; use sqlite:///FILE, mysql://USER@HOST/DATABASE "
            "or postgresql://USER@HOST/DATABASE."
        )
    path = sqlite_path(url)
    return sqlite_url(path) if path is not None and "?" not in url else url


def sqlite_path(url: str) -> Path | None:
    """The file of an SQLite URL; None for other databases and for SQLite in memory."""
    if not url.startswith("sqlite"):
        return None
    name = url.partition("://")[2].removeprefix("/").partition("?")[0]
    return None if name in ("", ":memory:") else Path(name)
