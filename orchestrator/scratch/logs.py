"""The logs of workers: the run directory's names in; files on this node's disk behind them, brought there at
the end.

While a worker prints, its log in the run directory is a link. What a killed node has printed is lost with it.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.paths import written_whole
from orchestrator.scratch.place import node_folder, scratch_parent

log = logging.getLogger("nano_hpo")


@contextmanager
def logs_on_this_node(logs: Sequence[Path], scratch: str | None) -> Iterator[None]:
    """In this block the logs, all of one folder, lie in a folder ``scratch`` of this node; None: there.

    Raises ``RunDirError`` when that folder cannot be used.
    """
    if scratch is None or not logs:
        yield
        return
    parent = scratch_parent(logs[0].parent, scratch)
    assert parent is not None
    folder = node_folder("logs", logs[0].parent, parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    for path in logs:
        _send_away(path, folder / path.name)
    try:
        yield
    finally:
        for path in logs:
            _bring_home(folder / path.name, path)
        with suppress(OSError):  # other agents print here
            folder.rmdir()


def _send_away(path: Path, away: Path) -> None:
    """What an earlier launch has printed comes along; if its node was lost, only what has come home."""
    if path.is_symlink():
        path.unlink()
    if path.exists() and not away.exists():
        shutil.copyfile(path, away)
    away.touch(mode=0o600)
    path.unlink(missing_ok=True)
    path.symlink_to(away)


def _bring_home(away: Path, path: Path) -> None:
    if not away.exists():
        return
    try:
        with written_whole(path) as temporary:
            shutil.copyfile(away, temporary)
    except OSError as error:
        log.warning("The log %s could not be brought to %s (%s).", away, path, error.strerror)
        return
    away.unlink()
