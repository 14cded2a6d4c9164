"""A server that cannot be reached: a storage URL and an error in; where, and what to do, out.

On clusters it is a firewall most often: the login node reaches the database, and compute nodes do not.
"""

from __future__ import annotations

import shlex
import socket
from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from launchers import ALONE
from orchestrator.errors import UserError
from orchestrator.ranks import this_rank
from orchestrator.sql.failures import is_passing
from orchestrator.sql.option_file import read_options
from orchestrator.storage_url import AUTOMATIC, option_file

_PORTS = {"mysql": 3306, "mariadb": 3306, "postgresql": 5432}
_CONNECTING = (2002, 2003, 2005)  # MySQL's: no socket, no connection, unknown host
_UNKNOWN = ("unknown server host", "unknown mysql server host", "not known", "could not translate")
_SILENT = ("(110)", "error: 110", "timed out", "timeout expired", "no greeting")  # ETIMEDOUT
_OF_LIBPQ = ("connection refused", "no route to host", "network is unreachable", *_UNKNOWN, *_SILENT)


def way_out(url: str, error: BaseException) -> str:
    """Sentences to follow what the driver said; none where the server was reached, or is on this machine."""
    if not isinstance(error, exc.DBAPIError) or not is_passing(error):  # as a certificate that is refused
        return ""
    cause = error.orig
    if cause is None or not _is_about_connecting(cause):
        return ""
    place = _place(url)
    if place is None:
        return _start_again(url)
    host, port = place
    return f". {_what(str(cause).lower(), host, port)}{_instead(url)}"


def _start_again(url: str) -> str:
    """A private server that listens on a socket of this machine, and has ended."""
    file = option_file(url)
    if file is None or not file.with_name("server.cnf").exists():
        return ""
    return f". Its server does not run here: nano-hpo db start {shlex.quote(str(file.parent))}"


def _is_about_connecting(cause: BaseException) -> bool:
    code, text = cause.args[0] if cause.args else None, str(cause).lower()
    if isinstance(code, int):
        return code in _CONNECTING or (code == 2013 and "initial communication packet" in text)
    return type(cause).__module__.startswith("psycopg") and any(sign in text for sign in _OF_LIBPQ)


def _place(url: str) -> tuple[str, int] | None:
    """Host and port, where the URL or its option file names a machine on the network."""
    parsed = sa.make_url(url)
    kind, file = parsed.get_backend_name(), option_file(url)
    group = parsed.query.get("read_default_group")
    options = read_options(file, str(group) if group else None) if file is not None else {}
    host = parsed.host or options.get("host")
    if kind not in _PORTS or not host or host.startswith("/") or "unix_socket" in parsed.query:
        return None
    if host == "localhost" and parsed.get_driver_name() in ("", "mysqldb"):  # the default socket
        return None
    port: Any = parsed.port or options.get("port") or _PORTS[kind]
    return host, int(port)


def _what(text: str, host: str, port: int) -> str:
    here = socket.gethostname()
    if any(sign in text for sign in _UNKNOWN):
        return f"{here} does not know the host {host} (port {port}): see its name."
    if any(sign in text for sign in _SILENT):
        return f"{here} gets no answer from {host}, port {port}: a firewall may be in the way."
    return f"{here} gets no connection to {host}, port {port}: see address, server and firewall."


def _instead(url: str) -> str:
    """What a run can do where its node will never reach the server."""
    file = option_file(url)
    if file is not None and file.with_name("server.cnf").exists():  # it is a private one already
        return ""
    rank = ALONE
    with suppress(UserError):
        rank = this_rank()
    own = f"the job can have a server of its own: --storage {AUTOMATIC} (storage='{AUTOMATIC}')."
    if rank.index == 0:
        return f" If this machine may not reach it, {own}"
    return (
        " If rank 0 reaches it, that can lend it to the others: --storage-proxy (storage_proxy=True) for all "
        f"ranks; if not, {own}"
    )
