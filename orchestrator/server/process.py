"""A server as a process: programs and addresses in; a process that answers, and its record, out."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from dataclasses import replace

import psutil
from sqlalchemy import exc

from orchestrator.errors import StorageError
from orchestrator.host import HostProcess, this_process
from orchestrator.server.accounts import write_accounts
from orchestrator.server.address import Tcp, place_socket
from orchestrator.server.asking import answers, open_accounts
from orchestrator.server.files import ServerFiles
from orchestrator.server.install import last_words
from orchestrator.server.mask import mask_of_the_launcher
from orchestrator.server.programs import Programs
from orchestrator.server.record import ServerRecord
from orchestrator.server.settings import server_command
from orchestrator.sql.network_fs import network_file_system

_PATIENCE_S = 300.0  # a recovery after a crash may take its time
_POLL_S = 0.05
_PORT_TRIES = 3  # somebody else may take a free port before the server does
# In the background of a shell that ends at once: nobody's child, on no terminal, with a log of its own.
_DETACH = 'umask 077; "$@" </dev/null >>"$0" 2>&1 & echo $!'


class _PortTakenError(Exception):
    """Somebody else has the port."""


class _AccountsError(StorageError):
    """The server runs, and its accounts are not as we have set them."""


def launch(
    files: ServerFiles, programs: Programs, tcp: Tcp | None, last_port: int | None, for_runs: bool
) -> ServerRecord:
    """Start the server, on its last port if any will do and that one is free, and wait until it answers.

    Raises ``StorageError`` with what the server said when it does not come up.
    """
    tries_left = _PORT_TRIES if tcp is not None and not tcp.port else 1
    while True:
        tries_left -= 1
        try:
            chosen = tcp.with_free_port(last_port) if tcp else None
            return _launch_once(files, programs, chosen, for_runs)
        except _PortTakenError as taken:
            if not tries_left:
                raise StorageError(str(taken)) from None


def _launch_once(files: ServerFiles, programs: Programs, tcp: Tcp | None, for_runs: bool) -> ServerRecord:
    socket = place_socket(files.socket, is_shared=network_file_system(files.root) is not None)
    try:
        write_accounts(files, socket, (tcp.client_host, tcp.port) if tcp else None)
        said_before = files.log.stat().st_size if files.log.exists() else 0
        process = _detached(server_command(programs, files, socket, tcp, files.accounts), files)
        record = ServerRecord(
            programs.flavour,
            programs.version,
            process,
            socket,
            tcp.client_host if tcp else None,
            tcp.port if tcp else None,
            for_runs,
        )
        record.write(files)
        await_answer(files, process, said_before)
        process = _server_itself(files, process)
        if process != record.process:
            record = replace(record, process=process)
            record.write(files)
        _require_closed(files)
    except _AccountsError:  # an ``init_file`` that fails stops no server
        _end(process)
        raise
    finally:
        files.accounts.unlink(missing_ok=True)
    return record


def _detached(command: list[str], files: ServerFiles) -> HostProcess:
    """Start the server as a process that outlives this one, its terminal and its session."""
    with mask_of_the_launcher():
        done = subprocess.run(
            ["/bin/sh", "-c", _DETACH, str(files.log), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            cwd="/",
            start_new_session=True,
            check=True,
            text=True,
        )
    pid, here = int(done.stdout), this_process()
    try:
        started_s = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:  # it has ended already; its log says why
        started_s = 0.0
    return replace(here, pid=pid, start_s=started_s)


def _server_itself(files: ServerFiles, started: HostProcess) -> HostProcess:
    """The server, where a script has it for a child instead of becoming it (``exec``); else what was started.

    Signals go to it then: the script would end of them alone.
    """
    with suppress(OSError, ValueError, psutil.Error):
        pid = int(files.pid.read_text())
        for child in psutil.Process(started.pid).children(recursive=True):
            if child.pid == pid:
                return replace(started, pid=pid, start_s=child.create_time())
    return started


def _end(process: HostProcess) -> None:
    with suppress(psutil.Error):
        server = psutil.Process(process.pid)
        server.terminate()
        server.wait(_PATIENCE_S)


def await_answer(files: ServerFiles, process: HostProcess, said_before: int) -> None:
    """Wait until the server lets its administrator in; explain why where it does not."""
    deadline = time.monotonic() + _PATIENCE_S
    while not _lets_in(files):
        if not process.is_alive():
            raise _why_it_ended(files, said_before)
        if time.monotonic() > deadline:
            raise StorageError(
                f"The server (process {process.pid}) does not answer yet; it may be recovering: {files.log}"
            )
        time.sleep(_POLL_S)


def _lets_in(files: ServerFiles) -> bool:
    try:
        return answers(files.admin)
    except exc.DBAPIError as error:
        raise _AccountsError(
            f"The server in {files.root} does not accept the password in {files.admin} ({error.orig}); "
            f"nano-hpo db stop and start set it again, or {files.log} says why not."
        ) from None


def _require_closed(files: ServerFiles) -> None:
    """Refuse a server that others could enter without a password."""
    found = open_accounts(files)
    if found:
        raise _AccountsError(
            f"The server in {files.root} was ended: it would not drop accounts without a password "
            f"({', '.join(found)}); {files.log} says why."
        )


def _why_it_ended(files: ServerFiles, said_before: int) -> Exception:
    why = last_words(files.log, said_before)
    if "Bind on TCP/IP port" in why or "Do you already have another" in why:
        return _PortTakenError(f"The server could not have its port: {why}")
    return StorageError(f"The server ended at once: {why}")
