"""Lending a database: a storage URL in; a relay that other processes can use out, until it is closed.

To the workers of this machine by a Unix socket, to other machines by TCP. An agent whose machine cannot reach
the database borrows it from one that can, and may lend it on to its own workers.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from orchestrator.errors import StorageError
from orchestrator.relay.address import Address
from orchestrator.relay.relay import Relay
from orchestrator.relay.source import Source
from orchestrator.server.address import Tcp, own_address, place_socket, remove_short_folder, short_folder
from orchestrator.sql.asking import asked
from orchestrator.sql.network_fs import network_file_system

ADDRESS_FILE = "relay.json"
N_CONNECTIONS = 4
HANG_S = 30.0  # a transaction of ours never waits for anything else than the database
IDLE_S = 300.0


def lend_to_this_machine(url: str, n_connections: int = N_CONNECTIONS) -> Relay:
    """A relay for the processes of this user on this machine, in a new private folder of its own."""
    folder = Path(short_folder())
    try:
        return lend(url, folder / ADDRESS_FILE, n_connections=n_connections, folder=folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def lend_to_other_machines(
    url: str, file: Path, n_connections: int = N_CONNECTIONS, lender: str = "rank 0"
) -> Relay:
    """A relay at this machine's address, on a free port; ``file`` is to lie where all machines see it.

    When it is lost, its clients will call it ``lender``, on this host.
    """
    return lend(url, file, Tcp(own_address(), 0), n_connections, lender=lender)


def lend(
    url: str,
    file: Path,
    tcp: Tcp | None = None,
    n_connections: int = N_CONNECTIONS,
    hang_s: float = HANG_S,
    idle_s: float = IDLE_S,
    folder: Path | None = None,
    lender: str | None = None,
) -> Relay:
    """Lend the database of ``url``, by TCP or (None) by a Unix socket; ``file`` will say where, to its owner.

    There are ``n_connections`` to the database at most, closed after ``idle_s`` without a use. A client that
    says nothing for ``hang_s`` within a transaction loses it. With the relay goes its ``folder``, if it has
    one. Clients that lose it call it ``lender`` (None: this process), on this host. Raises ``StorageError``
    when the database cannot be used, passing or not, or is of another kind.
    """
    asked(url, lambda c: c.execute(sa.select(1)).scalar())
    source = Source(url)
    who = f"{lender or f'process {os.getpid()}'} on {socket.gethostname()}"
    with _writable(file):
        file.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    listener, address, is_closed = _by_tcp(tcp, source) if tcp else _by_socket(file, source)
    address = replace(address, lender=who)

    def clean() -> None:
        is_closed()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    relay = Relay(source, listener, address, file, n_connections, hang_s, idle_s, clean)
    try:
        with _writable(file):
            address.write(file)
    except BaseException:
        relay.close()
        raise
    return relay


@contextmanager
def _writable(file: Path) -> Iterator[None]:
    """What the system refuses in this block becomes a line."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{file} cannot be written ({error.strerror}).") from None


_Place = tuple[socket.socket, Address, Callable[[], None]]


def _by_tcp(tcp: Tcp, source: Source) -> _Place:
    family = socket.getaddrinfo(tcp.host, tcp.port, type=socket.SOCK_STREAM)[0][0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.bind((tcp.host, tcp.port))
    except OSError as error:
        listener.close()
        raise StorageError(f"Nobody can be served at {tcp.host}:{tcp.port}: {error.strerror}.") from None
    port = listener.getsockname()[1]
    return listener, Address(source.dialect, host=tcp.client_host, port=port), lambda: None


def _by_socket(file: Path, source: Source) -> _Place:
    """The socket beside the file, or on this machine's own disk; its owner's alone before it listens."""
    path = place_socket(file.with_suffix(".sock"), is_shared=network_file_system(file.parent) is not None)

    def remove() -> None:
        with suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108 - as bound
        remove_short_folder(path)

    with suppress(FileNotFoundError):  # of one that was killed
        os.unlink(path)  # noqa: PTH108
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    os.chmod(path, 0o600)  # noqa: PTH101
    return listener, Address(source.dialect, socket=path), remove
