"""What is installed here: nothing in; checks of Python, packages, drivers, servers and the browser out."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from orchestrator.browser import find_browser
from orchestrator.doctor.check import Check, bad, good, mind, none
from orchestrator.errors import StorageError
from orchestrator.relay.address import read_address
from orchestrator.server.choice import ENVIRONMENT, chosen_server
from orchestrator.server.programs import SERVERS, search_folders
from orchestrator.storage_url import relay_file
from orchestrator.versions import version_of as installed

_NEEDED = ("optuna", "sqlalchemy", "psutil", "plotly", "pandas")
_DRIVERS = {
    "mysql": ("mysqlclient", "pymysql"),
    "postgresql": ("psycopg", "psycopg2", "psycopg2-binary"),
}


def software_checks(url: str | None) -> Iterator[Check]:
    """Python and packages, the driver for ``url`` (or any for MySQL), and what draws PNG files."""
    yield good("Python", f"{sys.version.split()[0]} in {sys.prefix}")
    yield _packages()
    yield _driver(url)
    yield _server()
    yield _client()
    yield _browser()


def _packages() -> Check:
    found = {name: installed(name) for name in ("nano-hpo", *_NEEDED)}
    missing = [name for name, number in found.items() if number is None]
    if missing:
        return bad("packages", f"missing: {', '.join(missing)}", "pip install nano-hpo in this environment")
    return good("packages", ", ".join(f"{name} {number}" for name, number in found.items()))


def _driver(url: str | None) -> Check:
    kind = "mysql" if url is None else _kind(url)
    if kind is None:
        return mind("database driver", "not known: nobody lends a database there now", "ask while it is lent")
    if kind == "sqlite":
        return good("database driver", "SQLite is part of Python")
    found = [f"{name} {number}" for name in _DRIVERS[kind] if (number := installed(name))]
    if found:
        return good("database driver", ", ".join(found))
    install = "pip install 'nano-hpo[mysql]'" if kind == "mysql" else "pip install 'psycopg[binary]'"
    if url is None:
        return mind("database driver", "none for MySQL and MariaDB; SQLite works", install)
    return bad("database driver", f"none of {', '.join(_DRIVERS[kind])} is installed", install)


def _kind(url: str) -> str | None:
    """Which drivers a storage needs; None: it is lent, and its file does not tell.

    Who borrows a database speaks as the driver of that would, and needs it as well.
    """
    lent = relay_file(url)
    if lent is None:
        name = url.partition(":")[0].partition("+")[0]
        return name if name in (*_DRIVERS, "sqlite") else "mysql"
    try:
        kind = read_address(lent).dialect.partition("+")[0]
    except StorageError:
        return None
    return kind if kind in (*_DRIVERS, "sqlite") else None


def _server() -> Check:
    """For ``nano-hpo db`` and ``--storage auto:mysql``; a server of others needs none here."""
    named = chosen_server(None)
    if named is not None and not Path(named).exists():
        return mind(
            "server program", f"{ENVIRONMENT} names {named}, which is not there", f"unset {ENVIRONMENT}"
        )
    folders = os.pathsep.join(map(str, search_folders()))
    path = named or next((path for name in SERVERS if (path := shutil.which(name, path=folders))), None)
    if path is None:
        return none(
            "server program", "none: nano-hpo db needs one (apt install mariadb-server, or conda's mariadb)"
        )
    return good("server program", f"{path}: nano-hpo db start DIR")


def _client() -> Check:
    path = shutil.which("mariadb") or shutil.which("mysql")
    return (
        good("client", path) if path else none("client", "no mariadb or mysql on PATH; nano-hpo needs none")
    )


def _browser() -> Check:
    browser = find_browser()
    if browser is not None:
        return good("PNG files", f"by {browser}")
    step = "install Chromium or Chrome, or name one in BROWSER_PATH, or run with --draw html"
    return mind("PNG files", "no Chromium or Chrome was found", step)
