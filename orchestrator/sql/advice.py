"""What people should know of their storage before a run begins: a URL in; a refusal or warnings out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from orchestrator.errors import StorageError
from orchestrator.sql.asking import asked
from orchestrator.sql.driver import MYSQL_OR_LENT
from orchestrator.sql.network_fs import network_file_system
from orchestrator.sql.option_file import exposed_password
from orchestrator.storage_url import option_file, sqlite_path


def require_server(url: str | None) -> None:
    """Refuse a SQLite file (None: the run's own) for ranks on several hosts.

    Its locks and its log are the kernel's of one host; over a network file system they fail without a word
    and damage the file (https://sqlite.org/howtocorrupt.html, 2.1); a local disk is not shared at all.
    """
    if url is not None and sqlite_path(url) is None:
        return
    what = f"the SQLite file {sqlite_path(url)}" if url else "the SQLite file of the run"
    raise StorageError(
        f"The ranks are on several hosts, which cannot share {what}: name a database server, as "
        "--storage mysql://USER@HOST/DATABASE (storage=URL), or start one: nano-hpo db start DIR."
    )


def warnings_about(url: str) -> Iterator[str]:
    """One line for each thing about a named storage that may cost a user something."""
    trap = collation_trap(url)
    if trap is not None:
        yield trap
    options = option_file(url)
    exposed = exposed_password(options) if options is not None else None
    if exposed is not None:
        yield exposed
    path = sqlite_path(url)
    if path is not None:
        yield from warnings_about_file(path)


def warnings_about_file(path: Path) -> Iterator[str]:
    """One line when a SQLite file lies on a network file system: it works, for one host and more slowly."""
    kind = network_file_system(path)
    if kind is not None:
        yield (
            f"{path} lies on a network file system ({kind}), where SQLite must do without its write-ahead "
            "log: slower, and for one host at a time. A database server (nano-hpo db start DIR) or a "
            "--run-dir (run_dir=DIR) on a local disk has no such limit."
        )


def collation_trap(url: str) -> str | None:
    """One line where the tables take different parameters for one, and would not store the second.

    MySQL's and MariaDB's default collations ignore case and accents, and every name is compared by them in
    tables that plain Optuna has created there.
    """
    collation, database = asked(url, _collation_of_names) if url.startswith(MYSQL_OR_LENT) else (None, "")
    if collation is None or (collation.startswith("utf8") and collation.endswith("_bin")):
        return None
    made = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    return (
        f"database '{database}' compares names by {collation}, which takes some different names for one: "
        f"of two parameters P and p the second would not be stored. Better create it with {made}."
    )


def _collation_of_names(c: sa.Connection) -> tuple[str | None, str]:
    """By what parameters are compared, if there is a table of them yet; and the name of the database."""
    if c.dialect.name != "mysql":
        return None, ""
    of_names = (
        "SELECT (SELECT collation_name FROM information_schema.columns "
        "WHERE table_schema = DATABASE() AND table_name = 'trial_params' AND column_name = 'param_name'), "
        "DATABASE()"
    )
    collation, database = c.exec_driver_sql(of_names).one()
    return collation, database
