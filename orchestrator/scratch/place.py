"""Folders of this node for a run: its directory, and the folder that was asked for, in; the place out."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from orchestrator.errors import RunDirError
from orchestrator.sql.network_fs import network_file_system

_OPTION = "--scratch (scratch=DIR)"


def scratch_parent(directory: Path, scratch: str | None) -> Path | None:
    """Where this node writes what belongs to ``directory``; None: there itself.

    That is the folder ``scratch``, with environment variables in it as they are on this node; without one the
    temporary folder, where ``directory`` lies on a network file system and that folder does not. Raises
    ``RunDirError`` when a folder that was asked for cannot be used.
    """
    if scratch is not None:
        return _asked_for(scratch)
    temporary = Path(tempfile.gettempdir())
    is_far = network_file_system(directory) is not None
    return temporary if is_far and network_file_system(temporary) is None else None


def node_folder(kind: str, directory: Path, parent: Path) -> Path:
    """The folder in ``parent`` for what belongs to ``directory``: the same for all processes of this user."""
    name = hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:16]
    return parent / f"nano-hpo{kind and '-'}{kind}-{os.getuid()}-{name}"


def _asked_for(scratch: str) -> Path:
    text = os.path.expandvars(scratch)
    if "$" in text or not text:
        raise RunDirError(f"{_OPTION} is {scratch!r}, and that variable is not set on this node.")
    path = Path(text).expanduser().resolve()
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise RunDirError(
            f"{path} is not writable ({error.strerror}); give another folder of this node: {_OPTION}."
        ) from None
    return path
