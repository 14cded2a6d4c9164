"""Storage URLs: what the user typed in, a URL for SQLAlchemy out; masked wherever people read it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from orchestrator.errors import StorageError

ENVIRONMENT = "NANO_HPO_STORAGE"
_SCHEMES = ("sqlite", "mysql", "mariadb", "postgresql")
_FORMS = "sqlite:///FILE, mysql://USER@HOST/DATABASE or postgresql://USER@HOST/DATABASE"

# A password may hold any character, so all is masked from the first colon after the scheme to the last @ of
# the text: better too much than too little.
_PASSWORD = re.compile(r"(?P<head>[A-Za-z][\w+.-]*://[^:]*:)(?P<secret>.*)(?=@)", re.DOTALL)
_NO_PORT = re.compile(
    r"(?P<head>[A-Za-z][\w+.-]*://[^:/@?\s]+:)(?P<secret>(?!\d+(?:[/?\s'\"]|$))[^@/?\s'\"]+)(?=[/?\s'\"]|$)"
)
_QUERY = re.compile(
    r"(?P<head>[?&](?:password|passwd|ssl_key_password)=)(?P<secret>[^&\s'\"]*)", re.IGNORECASE
)
_PATTERNS = (_PASSWORD, _NO_PORT, _QUERY)


def masked(text: str) -> str:
    """The text with every password of a URL in it replaced by ``***``."""
    for pattern in _PATTERNS:
        text = pattern.sub(r"\g<head>***", text)
    return text


def scrubbed(text: str, url: str) -> str:
    """The text without the secrets of ``url``, in whatever form a driver repeats them."""
    for secret in _secrets(url):
        text = text.replace(secret, "***")
    return masked(text)


def _secrets(url: str) -> list[str]:
    found = [match["secret"] for pattern in _PATTERNS for match in pattern.finditer(url)]
    parts = [part for secret in found for part in (secret, *re.split(r"[@:/?]", secret))]
    forms = {form for part in parts for form in (part, unquote(part))}
    return sorted((form for form in forms if len(form) > 2), key=len, reverse=True)


def sqlite_url(path: Path) -> str:
    """The URL of an SQLite file; any path works, also one with spaces, ``?`` and ``%``."""
    import sqlalchemy as sa

    return sa.URL.create("sqlite", database=str(path.resolve())).render_as_string(hide_password=False)


def chosen_url(given: str | None) -> str | None:
    """The storage asked for: the argument, else the environment variable NANO_HPO_STORAGE, else None."""
    if given is not None and not isinstance(given, str):
        raise StorageError(f"Storage {given!r} is not a string; use {_FORMS}.")
    url = given or os.environ.get(ENVIRONMENT) or None
    return checked(url) if url else None


def checked(url: str) -> str:
    """The URL if its form is one we can open; a relative SQLite path is made absolute."""
    scheme, separator, rest = url.partition("://")
    kind = scheme.lower()
    if not separator or kind.partition("+")[0] not in _SCHEMES:
        raise StorageError(f"Storage '{_safe_part(url)}' is not a database URL; use {_FORMS}.")
    url = f"{kind}://{rest}"
    if not kind.startswith("sqlite"):
        return url
    if rest and not rest.startswith("/"):
        raise StorageError(
            f"Storage '{masked(url)}' needs three slashes: sqlite:///FILE (four: an absolute one)."
        )
    path = sqlite_path(url)
    if path is None:
        raise StorageError(
            f"Storage '{url}' is a database in memory, which no second process can see; name a file: "
            "sqlite:///FILE."
        )
    return sqlite_url(path) if "?" not in url else url


def _safe_part(text: str) -> str:
    """What may be shown of a text that is no URL and may hold a password all the same."""
    if "@" in text:
        return f"***{text[text.rindex('@') :]}"
    head, colon, tail = text.partition(":")
    return text if not colon or tail.startswith("/") else f"{head}:***"


def sqlite_path(url: str) -> Path | None:
    """The file of an SQLite URL; None for other databases and for SQLite in memory."""
    if not url.startswith("sqlite"):
        return None
    name = unquote(url.partition("://")[2].removeprefix("/").partition("?")[0])
    return None if name in ("", ":memory:") else Path(name)
