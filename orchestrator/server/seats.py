"""Who uses a server that runs have started: processes take seats; the last that leaves stops the server.

A seat is a shared lock on a file in the server's folder, which the kernel lets go when the process dies.
Taking and leaving one hold the server's lock, so nobody sits down at a server that is about to end. It is
left when the process ends, not the run: what a run returns may still want to read its study.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sqlalchemy import exc

from orchestrator.errors import StorageError
from orchestrator.server.asking import foreign_connections, shut_down, watch_own_connections
from orchestrator.server.control import is_running, stop_held
from orchestrator.server.files import ServerFiles, try_lock
from orchestrator.server.record import ServerRecord, read_record

Note = Callable[[str], None]

_LAST_WORDS_S = 3.0  # connections of workers that have just ended take a moment to go
_seats: dict[Path, Seat] = {}


class Seat:
    """This process at one server, until :meth:`leave`."""

    def __init__(self, files: ServerFiles, note: Note) -> None:
        """Sit down; the caller holds the server's lock."""
        self._files = files
        self._note = note
        self._pid = os.getpid()
        self._lock = files.users.open("a")
        try_lock(self._lock, fcntl.LOCK_SH)

    def leave(self) -> None:
        """Get up; stop the server if runs have started it, nobody else sits here and nobody is connected."""
        if os.getpid() != self._pid or not self._files.is_made():  # forked off; removed meanwhile
            return
        try:
            with self._files.held(), self._lock:
                record = read_record(self._files)
                if record is not None and is_running(self._files, record):
                    self._note(f"The server in {self._files.root} {self._left(record)}")
        except exc.DBAPIError as error:
            self._note(f"The server in {self._files.root} does not answer ({error.orig}).")
        except (StorageError, OSError) as error:
            self._note(str(error))

    def _left(self, record: ServerRecord) -> str:
        """What became of the server, for people."""
        stop = self._files.command("stop")
        if not record.for_runs:
            return f"was not started by a run and stays; to stop it: {stop}"
        if not try_lock(self._lock, fcntl.LOCK_EX):
            return "is left to others that use it; the last of them stops it."
        others = self._others()
        if others:
            return f"stays for {others} more that are connected; to stop it: {stop}"
        self._end(record)
        return "was stopped; its data stays."

    def _others(self) -> int:
        """How many are connected, once those that are just leaving have left."""
        deadline = time.monotonic() + _LAST_WORDS_S
        while (others := foreign_connections(self._files)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return others

    def _end(self, record: ServerRecord) -> None:
        if record.process.is_here():
            stop_held(self._files)
        else:
            shut_down(self._files)
            replace(record, stopped=True).write(self._files)


def take_seat(files: ServerFiles, note: Note) -> bool:
    """Sit down until this process ends, if it does not sit there yet; the caller holds the server's lock."""
    if files.root in _seats:
        return False
    watch_own_connections()
    _seats[files.root] = Seat(files, note)
    atexit.register(_seats[files.root].leave)
    return True
