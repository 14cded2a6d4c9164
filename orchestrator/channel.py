"""The wire between agent and worker: messages as JSON lines over a pair of inherited pipes."""

from __future__ import annotations

import fcntl
import json
import os
import select
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_CHUNK = 65536


@dataclass(frozen=True, slots=True)
class Message:
    """One line: a kind and its data."""

    kind: str
    data: Mapping[str, Any]


class Channel:
    """One end of the wire. Each side writes its own pipe; the end of the other's shows as ``closed``."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self.read_fd = read_fd
        self._write_fd = write_fd
        self._partial = b""
        self._turn = threading.Lock()  # of writers: a pipe keeps lines of up to 4,096 bytes together only
        self.closed = False

    def send(self, kind: str, **data: Any) -> bool:
        """Write one message; False when nobody reads any more. Numbers that JSON lacks travel as NaN."""
        line = json.dumps({"kind": kind, **data}, default=repr).encode() + b"\n"
        try:
            with self._turn:
                while line:
                    line = line[os.write(self._write_fd, line) :]
        except BrokenPipeError:
            return False
        return True

    def receive(self) -> Message | None:
        """Wait for the next message; None at the end of the other side."""
        while True:
            for message in self.pending(limit=1):
                return message
            if self.closed:
                return None
            select.select([self.read_fd], [], [])

    def pending(self, limit: int | None = None) -> list[Message]:
        """The messages that have arrived, without waiting; at the end of the other side ``closed`` is set."""
        while (limit is None or self._partial.count(b"\n") < limit) and self._readable():
            chunk = os.read(self.read_fd, _CHUNK)
            if not chunk:
                self.closed = True
                break
            self._partial += chunk
        return [_decoded(line) for line in self._lines(limit)]

    def _readable(self) -> bool:
        return not self.closed and bool(select.select([self.read_fd], [], [], 0)[0])

    def _lines(self, limit: int | None) -> list[bytes]:
        *lines, rest = self._partial.split(b"\n")
        taken = lines if limit is None else lines[:limit]
        self._partial = b"\n".join([*lines[len(taken) :], rest])
        return taken

    def close(self) -> None:
        """Close both pipes; the other side sees the end."""
        os.close(self.read_fd)
        os.close(self._write_fd)
        self.closed = True


def _decoded(line: bytes) -> Message:
    """One message; "garbled" where a fork of the worker has written into the middle of one."""
    try:
        data = json.loads(line)
        return Message(data.pop("kind"), data)
    except (ValueError, TypeError, KeyError, AttributeError):
        return Message("garbled", {})


def open_wire() -> tuple[Channel, tuple[int, int]]:
    """The agent's end, and the two descriptors (read, write) that its worker inherits."""
    worker_reads, agent_writes = os.pipe()
    try:
        agent_reads, worker_writes = os.pipe()
    except OSError:  # too many open files
        os.close(worker_reads)
        os.close(agent_writes)
        raise
    return Channel(agent_reads, agent_writes), (worker_reads, worker_writes)


def keep_private(*descriptors: int) -> None:
    """Keep programs that this process starts from inheriting the wire."""
    for descriptor in descriptors:
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFD)
        fcntl.fcntl(descriptor, fcntl.F_SETFD, flags | fcntl.FD_CLOEXEC)
