"""Where a server listens: ``[HOST:]PORT`` and a folder in; an address and a socket's path out."""

from __future__ import annotations

import os
import re
import shutil
import socket
import tempfile
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import SpecError

_MAX_SOCKET = 107  # sockaddr_un of unix(7), less the final null
_PREFIX = "nano-hpo-db-"
_AWKWARD = re.compile(r"[\"'\\#]|[^ -~]")  # in an option file, or to a client library
_ANY = {"0.0.0.0", "::", "*"}


@dataclass(frozen=True, slots=True)
class Tcp:
    """A host (name or address) and a port; port 0 is a free one."""

    host: str
    port: int

    @property
    def client_host(self) -> str:
        """The host that clients connect to: this machine's address for «any»."""
        return own_address() if self.host in _ANY else self.host

    def is_loopback(self) -> bool:
        """Whether other machines cannot reach it."""
        return self.host == "::1" or (_resolved(self.host) or "").startswith("127.")

    def with_free_port(self, preferred: int | None) -> Tcp:
        """With a port that is free now: the preferred one if it is."""
        if self.port:
            return self
        with suppress(OSError):
            return Tcp(self.host, self.find_free_port(preferred or 0))
        return Tcp(self.host, self.find_free_port())

    def find_free_port(self, port: int = 0) -> int:
        """The port if it is free on this host, for 0 any that is; else ``OSError``."""
        host = "0.0.0.0" if self.host == "*" else self.host
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with closing(socket.socket(family, kind)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])


def parse_tcp(text: str) -> Tcp:
    """``PORT``, ``HOST:PORT``, ``HOST`` or ``[IPv6]:PORT``; without a host this machine's address."""
    match = re.fullmatch(r"(?:\[(?P<six>[^\]]+)\]|(?P<host>[^:\[\]]*?))(?::(?P<port>\d*))?", text)
    if match is None or not text:
        raise SpecError(f"--tcp '{text}' is not [HOST:]PORT; as --tcp 0 (a free port), --tcp node7:3307.")
    host, port = match["six"] or match["host"], match["port"]
    if host.isdigit() and port is None:
        host, port = "", host
    if int(port or 0) > 65535:
        raise SpecError(f"--tcp '{text}': a port is at most 65535; 0 is a free one.")
    tcp = Tcp(host or own_address(), int(port or 0))
    try:
        tcp.find_free_port()
    except OSError as error:
        raise SpecError(
            f"--tcp '{text}': {tcp.host} is no address of this machine ({error.strerror})."
        ) from None
    return tcp


def own_address() -> str:
    """The address by which other machines reach this one, as far as it can tell.

    What the host's name stands for; where that is a loopback address, as on Debian, the address that packets
    to elsewhere leave from (connecting a datagram socket sends none).
    """
    address = _resolved(socket.gethostname())
    if address is not None and not address.startswith("127."):
        return address
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
    return "127.0.0.1"


def _resolved(host: str) -> str | None:
    try:
        return socket.gethostbyname(host)
    except OSError:
        return None


def place_socket(wanted: Path, is_shared: bool) -> str:
    """The path of a socket: as wanted, or in a new private folder of this machine where that is not fit.

    Not fit are long paths, characters that option files take for something else, and network file systems.
    """
    text = str(wanted)
    if len(os.fsencode(text)) <= _MAX_SOCKET and not _AWKWARD.search(text) and not is_shared:
        return text
    return f"{short_folder()}/{wanted.name}"


def short_folder() -> str:
    """A new folder with a short name, private to this user."""
    folder = tempfile.mkdtemp(prefix=_PREFIX)
    if len(os.fsencode(folder)) < 80 and not _AWKWARD.search(folder):
        return folder
    Path(folder).rmdir()
    return tempfile.mkdtemp(prefix=_PREFIX, dir="/tmp")


def remove_short_folder(inside: str) -> None:
    """Remove the folder that :func:`place_socket` has made for a socket, if it has."""
    folder = Path(inside).parent
    if folder.name.startswith(_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)
