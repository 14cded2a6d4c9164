"""A SQLite file: its path in; checks of its disk and folder out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from orchestrator.doctor.check import Check, bad, good, mind
from orchestrator.sql.network_fs import file_system, network_file_system

_ROOM_MIB = 100


def sqlite_checks(path: Path) -> Iterator[Check]:
    """File system, room and rights, for a file that may not be there yet."""
    if not path.parent.is_dir():
        yield bad("file", f"there is no folder {path.parent}", "create it first")
        return
    yield _disk(path)
    yield _room(path.parent)
    yield _rights(path)


def _disk(path: Path) -> Check:
    kind = network_file_system(path)
    if kind is None:
        return good("file system", f"{file_system(path) or 'unknown'}, local")
    step = "a database server for several hosts (nano-hpo db start DIR), a local disk for speed"
    return mind("file system", f"{kind}, over the network: no write-ahead log, one host at a time", step)


def _room(folder: Path) -> Check:
    free_mib = shutil.disk_usage(folder).free / 2**20
    said = f"{free_mib / 1024:.1f} GiB free"
    return good("room", said) if free_mib > _ROOM_MIB else bad("room", said, f"make room in {folder}")


def _rights(path: Path) -> Check:
    """SQLite writes beside the file as well: journal or write-ahead log."""
    for needed in (path.parent, *([path] if path.exists() else [])):
        if not os.access(needed, os.W_OK):
            return bad("rights", f"{needed} may not be written", "a run writes there; reading works")
    return good("rights", "file and folder can be written")
