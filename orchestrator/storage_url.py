"""Storage URLs: what the user typed in, a URL for SQLAlchemy out; masked wherever people read it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote, unquote_plus

from orchestrator.errors import StorageError

ENVIRONMENT = "NANO_HPO_STORAGE"
AUTOMATIC = "auto:mysql"
_SCHEMES = ("sqlite", "mysql", "mariadb", "postgresql", "relay")
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
# What MySQL's drivers read themselves: option file, certificates, key.
_FILE = re.compile(
    r"(?P<head>[?&](?P<name>read_default_file|ssl_ca|ssl_capath|ssl_cert|ssl_key)=)(?P<path>[^&]*)"
)
_PHRASE = "using password: "  # MySQL's, whatever the password is
_PATTERNS = (_PASSWORD, _NO_PORT, _QUERY)


def masked(text: str) -> str:
    """The text with every password of a URL in it replaced by ``***``."""
    for pattern in _PATTERNS:
        text = pattern.sub(r"\g<head>***", text)
    return text


def scrubbed(text: str, url: str) -> str:
    """The text without the secrets of ``url``, in whatever form a driver repeats them."""
    parts = text.split(_PHRASE)  # else a password that is part of it would show by what is missing
    for secret in _secrets(url):
        parts = [part.replace(secret, "***") for part in parts]
    return masked(_PHRASE.join(parts))


def _secrets(url: str) -> list[str]:
    found = [match["secret"] for pattern in _PATTERNS for match in pattern.finditer(url)]
    parts = [part for secret in found for part in (secret, *re.split(r"[@:/?]", secret))]
    forms = {form for part in parts for form in (part, unquote(part))}
    return sorted((form for form in forms if len(form) > 2), key=len, reverse=True)


def sqlite_url(path: Path) -> str:
    """The URL of an SQLite file; any path works, also one with spaces, ``?`` and ``%``."""
    import sqlalchemy as sa

    return sa.URL.create("sqlite", database=str(path.resolve())).render_as_string(hide_password=False)


def relay_url(file: Path) -> str:
    """The URL of a database that another process lends: it names the file that says where and how."""
    return f"relay://{quote(str(file.absolute()))}"


def relay_file(url: str) -> Path | None:
    """The file that a relay's URL names; None for other databases."""
    scheme, _, rest = url.partition("://")
    return Path(unquote(rest)) if scheme == "relay" else None


def chosen_url(given: str | None, may_be_automatic: bool = False) -> str | None:
    """The storage asked for: the argument, else the environment variable NANO_HPO_STORAGE, else None.

    ``may_be_automatic``: it is for a run, which can have a private server of its own (``auto:mysql``).
    """
    if given is not None and not isinstance(given, str):
        raise StorageError(f"Storage {given!r} is not a string; use {_FORMS}.")
    if given is not None and not given.strip():  # as of --storage "$(nano-hpo db url DIR)" when that failed
        raise StorageError(f"The storage is an empty text; leave it out, or use {_FORMS}.")
    url = given or os.environ.get(ENVIRONMENT) or None
    folder = automatic_folder(url) if url else None
    if folder is None:
        return checked(url) if url else None
    if not may_be_automatic:
        raise StorageError(
            f"Storage {url} is for runs. Start its server with 'nano-hpo db start DIR' (the run has named "
            "DIR), and take the URL that 'nano-hpo db url DIR' prints."
        )
    return f"{AUTOMATIC}:{Path(folder).expanduser().resolve()}" if folder else AUTOMATIC


def automatic_folder(url: str) -> str | None:
    """The folder in ``auto:mysql:FOLDER``, empty for ``auto:mysql``; None for any URL."""
    if url != AUTOMATIC and not url.startswith(f"{AUTOMATIC}:"):
        return None
    folder = url.removeprefix(AUTOMATIC).removeprefix(":")
    if folder.startswith("//") or "://" in folder:
        raise StorageError(f"{AUTOMATIC}: takes a folder for the server's data, not a URL.")
    return folder


def checked(url: str) -> str:
    """The URL if its form is one we can open, and the files that it names can be read.

    Relative paths in it are made absolute, and ``~`` is the user's home: workers run in another folder.
    """
    scheme, separator, rest = url.partition("://")
    kind = scheme.lower()
    if not separator or kind.partition("+")[0] not in _SCHEMES:
        raise StorageError(f"Storage '{_safe_part(url)}' is not a database URL; use {_FORMS}.")
    url = f"{kind}://{rest}"
    if kind == "relay" and not rest.startswith("/"):
        raise StorageError(f"Storage '{masked(url)}' needs three slashes: relay:///FILE, an absolute one.")
    if not kind.startswith("sqlite") and not _names_database(rest):
        raise StorageError(f"Storage '{masked(url)}' names no database: {kind}://USER@HOST/DATABASE.")
    if kind.startswith(("mysql", "mariadb")):
        return _FILE.sub(_absolute, url)
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


def _names_database(rest: str) -> bool:
    """Whether there is something after the host; ``?`` may stand in a password, ``@`` in an option."""
    places = rest.rpartition("@")[2].partition("?")[0], rest.partition("?")[0].rpartition("@")[2]
    return any(place.partition("/")[2] for place in places)


def _absolute(match: re.Match[str]) -> str:
    path = Path(unquote_plus(match["path"])).expanduser().absolute()
    if not os.access(path, os.R_OK):
        why = "may not be read by you" if path.exists() else "is not there"
        raise StorageError(f"{match['name']} of the storage: {path} {why}; see the path.")
    return f"{match['head']}{quote(str(path))}"


def option_file(url: str) -> Path | None:
    """The option file that a MySQL URL names (``read_default_file``), where the password may stand."""
    found = (match for match in _FILE.finditer(url) if match["name"] == "read_default_file")
    return next((Path(unquote_plus(match["path"])).expanduser() for match in found), None)


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
