"""Starting and stopping: a server's folder in; a process that answers, or none, out.

Both hold the folder's lock, so two starts at once give one server. What a killed server or a killed start
leaves behind (a record of a dead process, a half-made data directory, a socket) is put right by the next
start; InnoDB recovers what was committed.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sqlalchemy import exc

from orchestrator.errors import StorageError
from orchestrator.host import HostProcess
from orchestrator.server.address import Tcp, remove_short_folder
from orchestrator.server.asking import answers
from orchestrator.server.choice import programs_of
from orchestrator.server.files import ServerFiles
from orchestrator.server.install import install
from orchestrator.server.process import await_answer, launch
from orchestrator.server.programs import Programs, locate
from orchestrator.server.record import ServerRecord, read_record
from orchestrator.sql.network_fs import network_file_system

Note = Callable[[str], None]

_PATIENCE_S = 300.0  # to write down what it holds in memory
_POLL_S = 0.05


def start(
    files: ServerFiles, tcp: Tcp | None, note: Note, server: str | None = None
) -> tuple[ServerRecord, bool]:
    """The server that answers, and whether it was started by this call; ``server``: the program, if named.

    Raises ``StorageError`` when there is no program for it, it does not come up, or it runs without the TCP
    port that is asked for.
    """
    prepare(files, server)
    with files.held():
        return start_held(files, tcp, note, for_runs=False, server=server)


def prepare(files: ServerFiles, server: str | None = None) -> None:
    """Make the folder of a server, unless there is no program for one."""
    if not files.is_made():
        programs_of(server)
    elif server is not None:  # it may be running already: by which program is all the same then
        locate(Path(server))
    files.create()


def start_held(
    files: ServerFiles, tcp: Tcp | None, note: Note, for_runs: bool, server: str | None = None
) -> tuple[ServerRecord, bool]:
    """As :func:`start`, by the holder of the lock; ``for_runs``: the last run that leaves it stops it."""
    record = read_record(files)
    if record is not None and is_running(files, record):
        return _adopted(files, record, tcp, for_runs), False
    programs = programs_of(server)
    if record is not None:
        _require_same_flavour(files, record, programs)
        remove_short_folder(record.socket)
    for warning in _warnings(files, tcp, record):
        note(f"Warning: {warning}")
    install(files, programs)
    return launch(files, programs, tcp, record.tcp_port if record else None, for_runs), True


def is_running(files: ServerFiles, record: ServerRecord) -> bool:
    """Whether the server of a record serves: here by its process, elsewhere by its answer over TCP."""
    if record.stopped or record.process.is_here() or record.process.rebooted_away():
        return record.is_alive_here()
    try:
        return record.tcp_port is not None and answers(files.client)
    except exc.DBAPIError:  # something else has the port by now
        return False


def stop(files: ServerFiles) -> bool:
    """End the server in order and return when it has ended; False where none runs."""
    files.require()
    with files.held():
        return stop_held(files)


def stop_held(files: ServerFiles) -> bool:
    """As :func:`stop`, by the holder of the lock."""
    record = read_record(files)
    if record is None or not is_running(files, record):
        return False
    if not record.process.is_here():
        raise StorageError(f"The server in {files.root} runs on {record.process.host}; stop it there.")
    _signal(record.process, signal.SIGTERM)
    deadline = time.monotonic() + _PATIENCE_S
    while record.process.is_alive():
        if time.monotonic() > deadline:
            raise StorageError(f"The server (process {record.process.pid}) is still ending; see {files.log}.")
        time.sleep(_POLL_S)
    remove_short_folder(record.socket)
    replace(record, stopped=True).write(files)
    return True


def _signal(process: HostProcess, number: int) -> None:
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        raise StorageError(
            f"The server is process {process.pid} of another user, who must stop it."
        ) from None


def _adopted(files: ServerFiles, record: ServerRecord, tcp: Tcp | None, for_runs: bool) -> ServerRecord:
    """A server that runs already, once it answers; one that a person asks for is no longer the runs' own."""
    if tcp is not None and record.tcp_port is None:
        raise StorageError(
            f"The server in {files.root} runs without TCP; stop it first: {files.command('stop')}"
        )
    if record.process.is_here():
        await_answer(files, record.process, 0)
        files.accounts.unlink(missing_ok=True)  # whoever started it may have been killed
    if record.for_runs and not for_runs:
        record = replace(record, for_runs=False)
        record.write(files)
    return record


def _require_same_flavour(files: ServerFiles, record: ServerRecord, programs: Programs) -> None:
    if record.flavour != programs.flavour:
        raise StorageError(
            f"The data in {files.root} is of {record.product}, and {programs.server} is {programs.flavour}; "
            f"put a server of {record.flavour} first on the PATH, or name it: --server PATH."
        )


def _warnings(files: ServerFiles, tcp: Tcp | None, before: ServerRecord | None) -> list[str]:
    found = []
    if before is not None and not before.stopped and not before.process.is_here():
        found.append(
            f"the server was not stopped on {before.process.host}; see that it is not running there."
        )
    if os.geteuid() == 0 and before is None:
        found.append("you are root, so the server runs as root and its files are root's.")
    system = network_file_system(files.root)
    if system is not None:
        found.append(
            f"{files.root} is on {system}: each commit waits for the network, and only one machine may run "
            "the server; a local disk is faster."
        )
    if tcp is not None and tcp.is_loopback():
        found.append(f"{tcp.host} is an address of this machine alone; others cannot reach it.")
    return found
