"""What a private server is doing: its folder in; one frozen ``Status`` out, for people or as JSON."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from orchestrator.errors import StorageError
from orchestrator.server.accounts import DATABASE
from orchestrator.server.asking import ask, storage_url, studies_by_database, variable
from orchestrator.server.control import is_running
from orchestrator.server.files import ServerFiles
from orchestrator.server.record import ServerRecord, read_record


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that runs."""

    product: str
    host: str
    pid: int
    uptime_s: int
    socket: str
    tcp: str | None
    for_runs: bool  # the last run that leaves it stops it
    connections: int  # besides the one that asked
    max_connections: int
    studies: dict[str, int]  # by database
    url: str


@dataclass(frozen=True, slots=True)
class Status:
    """A server's folder, what it takes on disk, and the server if it runs."""

    folder: Path
    disk_mib: int
    serving: Serving | None

    def as_json(self) -> dict[str, Any]:
        """One flat object; ``running`` says whether the rest is there."""
        data = {"folder": str(self.folder), "running": self.serving is not None, "disk_mib": self.disk_mib}
        return data | (asdict(self.serving) if self.serving else {})


def read_status(files: ServerFiles) -> Status:
    """Look at a server. Raises ``StorageError`` where there is none, or it does not let us in."""
    files.require()
    record = read_record(files)
    serving = None
    if record is not None and is_running(files, record):
        try:
            serving = ask(files.client, lambda connection: _serving(files, record, connection))
        except exc.DBAPIError as error:
            raise StorageError(
                f"The server in {files.root} runs (process {record.process.pid}) and does not let us in: "
                f"{error.orig}; see {files.log}."
            ) from None
    return Status(files.root, disk_mib(files.root), serving)


def _serving(files: ServerFiles, record: ServerRecord, connection: sa.Connection) -> Serving:
    return Serving(
        product=record.product,
        host=record.process.host,
        pid=record.process.pid,
        uptime_s=max(0, round(time.time() - record.process.start_s)),
        socket=record.socket,
        tcp=record.tcp,
        for_runs=record.for_runs,
        connections=variable(connection, "STATUS", "Threads_connected") - 1,
        max_connections=variable(connection, "VARIABLES", "max_connections"),
        studies=studies_by_database(connection),
        url=storage_url(files, DATABASE),
    )


def disk_mib(folder: Path) -> int:
    """What a folder takes on disk; files that come and go meanwhile are left out."""
    blocks = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                blocks += Path(parent, name).lstat().st_blocks
            except FileNotFoundError:
                continue
    return round(blocks * 512 / 1024**2)
