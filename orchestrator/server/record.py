"""Which process serves: what a start has written in, one ``ServerRecord`` out."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from orchestrator.errors import StorageError
from orchestrator.host import HostProcess
from orchestrator.paths import write_whole
from orchestrator.server.files import ServerFiles


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """The last start of a private server.

    ``for_runs``: the last run that leaves it may stop it. ``stopped``: it was ended in order since; a server
    that was killed is not.
    """

    flavour: str
    version: str
    process: HostProcess
    socket: str
    tcp_host: str | None = None
    tcp_port: int | None = None
    for_runs: bool = False
    stopped: bool = False

    @property
    def product(self) -> str:
        """``MariaDB 10.11.6``."""
        return f"{self.flavour} {self.version.partition('-')[0]}"

    @property
    def tcp(self) -> str | None:
        """``HOST:PORT`` where it listens besides the socket."""
        return None if self.tcp_port is None else f"{self.tcp_host}:{self.tcp_port}"

    def is_alive_here(self) -> bool:
        """Whether its process runs on this machine."""
        return self.process.is_here() and self.process.is_alive()

    def write(self, files: ServerFiles) -> None:
        """Put it into the server's folder."""
        write_whole(files.record, json.dumps(asdict(self), indent=2) + "\n", mode=0o600)


def read_record(files: ServerFiles) -> ServerRecord | None:
    """The last start, or None when there was none."""
    try:
        data = json.loads(files.record.read_text(encoding="utf-8"))
        return ServerRecord(**{**data, "process": HostProcess(**data["process"])})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise StorageError(
            f"{files.record} cannot be read ({error}); see that no server runs there, and remove the file."
        ) from None
