"""Who is at work on a file that lies on another node's disk: a small file in the run directory, rewritten
every few seconds in its place.

A network file system shows that to whoever opens the file. Clocks of two machines are never compared: a
marker that moves is alive, one that stands still for a minute is of a node that was lost.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestrator.errors import StorageError
from orchestrator.host import HostProcess, this_process

BEAT_S = 5.0
SILENCE_S = 60.0
_LOOK_S = 1.0
_WIDTH = 8192  # always as long: a reader sees the old text or the new one


@dataclass(frozen=True, slots=True)
class AtWork:
    """What a marker says. ``file``: where the study is, on the disk of that host."""

    process: HostProcess
    file: Path
    beat: int


class Marker:
    """The marker of one run directory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beat = 0

    def read(self) -> AtWork | None:
        """What it says; None: there is none, or it is damaged."""
        try:
            data = json.loads(self._path.read_text(encoding="utf-8"))
            return AtWork(HostProcess(**data["process"]), Path(data["file"]), data["beat"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def beat(self, file: Path) -> None:
        """Say that this process is at work on a file of this host. Raises ``OSError``."""
        self._beat += 1
        said = json.dumps({"process": asdict(this_process()), "file": str(file), "beat": self._beat})
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(descriptor, f"{said:<{_WIDTH}}\n".encode(), 0)
        finally:
            os.close(descriptor)

    def remove(self) -> None:
        """Nobody of this host is at work any more, and the copy is whole."""
        self._path.unlink(missing_ok=True)

    def require_nobody_elsewhere(self, note: Callable[[str], None]) -> None:
        """Return when no other host is at work; that takes a minute where one was lost.

        Raises ``StorageError`` when one is.
        """
        first = self.read()
        if first is None or first.process.is_here() or first.process.rebooted_away():
            return
        host = first.process.host
        note(f"{host} was at work on this run; a minute will show whether it still is.")
        deadline = time.monotonic() + SILENCE_S
        while time.monotonic() < deadline:
            time.sleep(_LOOK_S)
            now = self.read()
            if now is None or now.process.is_here():
                return
            if now != first:
                raise StorageError(
                    f"The run in {self._path.parent} is at work on {host}, on whose disk its study is "
                    f"({first.file}): wait for it, or name a database server, which several hosts can share, "
                    "as --storage mysql://USER@HOST/DATABASE (storage=URL)."
                )
        note(f"{host} has said nothing for a minute; going on with the copy of its study.")
