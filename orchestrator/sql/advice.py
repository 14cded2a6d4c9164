"""What people should know of their storage before a run begins: a URL in; a refusal or warnings out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from orchestrator.errors import StorageError
from orchestrator.sql.network_fs import network_file_system
from orchestrator.sql.opening import collation_trap
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
