"""Whose is a folder: a path in; nothing out where it is ours alone, else an error that says what to do.

Who can write to a server's folder can plant settings, which name plugins to load, and passwords.
"""

from __future__ import annotations

import os
import pwd
import shlex
import stat
from contextlib import suppress
from pathlib import Path

from orchestrator.errors import StorageError

_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def require_own_folder(folder: Path) -> None:
    """Refuse a folder of somebody else, that others can write, or in which something is not ours.

    Raises ``StorageError``, and ``OSError`` where the folder cannot be read.
    """
    _require_ours(folder)
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & _BY_OTHERS:
        raise StorageError(
            f"{folder} can be written by others (mode {mode:04o}), who could change what the server does; "
            f"see that all in it is yours, then: chmod go-w {shlex.quote(str(folder))}"
        )
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # a temporary name, renamed meanwhile
            _require_ours(path)


def _require_ours(path: Path) -> None:
    owner = path.lstat().st_uid
    if owner != os.geteuid():
        raise StorageError(
            f"{path} belongs to {_user_name(owner)}, and a server works on files of your own alone; choose "
            "another folder for it."
        )


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
