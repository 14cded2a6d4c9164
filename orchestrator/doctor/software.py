"""What is installed here: nothing in; checks of Python, packages, drivers and the browser out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from orchestrator.doctor.check import Check, bad, good, mind
from orchestrator.plots.png import find_browser

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
    yield _browser()


def _packages() -> Check:
    found = {name: _version(name) for name in ("nano-hpo", *_NEEDED)}
    missing = [name for name, number in found.items() if number is None]
    if missing:
        return bad("packages", f"missing: {', '.join(missing)}", "pip install nano-hpo in this environment")
    return good("packages", ", ".join(f"{name} {number}" for name, number in found.items()))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _driver(url: str | None) -> Check:
    kind = "postgresql" if url is not None and url.startswith("postgresql") else "mysql"
    found = [f"{name} {number}" for name in _DRIVERS[kind] if (number := _version(name))]
    if found:
        return good("database driver", ", ".join(found))
    if url is not None and url.startswith("sqlite"):
        return good("database driver", "SQLite is part of Python")
    install = "pip install 'nano-hpo[mysql]'" if kind == "mysql" else "pip install 'psycopg[binary]'"
    if url is None:
        return mind("database driver", "none for MySQL and MariaDB; SQLite works", install)
    return bad("database driver", f"none of {', '.join(_DRIVERS[kind])} is installed", install)


def _browser() -> Check:
    browser = find_browser()
    if browser is not None:
        return good("PNG files", f"by {browser}")
    step = "install Chromium or Chrome, or name one in BROWSER_PATH, or run with --draw html"
    return mind("PNG files", "no Chromium or Chrome was found", step)
