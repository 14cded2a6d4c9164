"""``--storage auto:mysql``: that text in; a private server, there while somebody uses it, and its URL out."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import exc

from launchers import Rank
from orchestrator.errors import StorageError
from orchestrator.host import this_process
from orchestrator.paths import RUNS_FOLDER
from orchestrator.server.accounts import DATABASE
from orchestrator.server.address import Tcp, own_address
from orchestrator.server.asking import answers, storage_url
from orchestrator.server.control import prepare, start_held
from orchestrator.server.files import ServerFiles
from orchestrator.server.record import ServerRecord, read_record
from orchestrator.server.seats import take_seat
from orchestrator.storage_url import automatic_folder

Note = Callable[[str], None]

_PATIENCE_S = 120.0  # how long a rank on another machine waits for rank 0's server


def resolved(url: str) -> str:
    """The URL that an automatic storage stands for; any other one as it is. Asks no server."""
    files = _files(url)
    return url if files is None else storage_url(files, DATABASE)


def _files(url: str | None) -> ServerFiles | None:
    folder = automatic_folder(url) if url else None
    if folder is None:
        return None
    return ServerFiles.at(Path(folder) if folder else Path.cwd() / RUNS_FOLDER / "mysql")


def attend(url: str | None, rank: Rank, note: Note, server: str | None = None) -> None:
    """Have the server of an automatic storage there until this process ends; leave other storages alone.

    Ranks of one machine start it, whichever comes first. Of ranks on several machines rank 0 does; one that
    comes when the others are done and the server is stopped starts it to see what became of the run.
    ``server``: the program for it, which need not be on machines that start none.
    """
    files = _files(url)
    if files is None:
        return
    is_spread = rank.size > rank.local_size
    is_guest = is_spread and rank.index > 0
    if is_guest:
        _await_rank_zero(files, rank)
    prepare(files, None if is_guest else server)
    with files.held():
        tcp = Tcp(own_address(), 0) if is_spread else None
        record, is_new = start_held(files, tcp, note, for_runs=True, server=server)
        if take_seat(files, note):
            note(_where(files, record, is_new, server))


def _await_rank_zero(files: ServerFiles, rank: Rank) -> None:
    """Return when the server answers, or was started and stopped again while we waited."""
    began_s = this_process().start_s
    deadline = time.monotonic() + _PATIENCE_S
    while not _answers(files):
        is_late = time.monotonic() > deadline
        if _is_over(files, since_s=0 if is_late else began_s):
            return
        if is_late:
            raise StorageError(
                f"Rank {rank.index} waited {_PATIENCE_S:g} s for rank 0's server in {files.root}, which all "
                "machines must see; see rank 0's output."
            )
        time.sleep(0.5)


def _is_over(files: ServerFiles, since_s: float) -> bool:
    record = read_record(files)
    return record is not None and record.stopped and record.process.start_s > since_s


def _answers(files: ServerFiles) -> bool:
    files.require_own()
    try:
        return answers(files.client)
    except exc.DBAPIError:  # something else at the address of an earlier start
        return False


def _where(files: ServerFiles, record: ServerRecord, is_new: bool, server: str | None) -> str:
    state = "" if is_new else " (it was running)"
    by = "" if server is None else f" --server {shlex.quote(server)}"
    return (
        f"Storage: a private {record.product} in {files.root}{state}. To open it later: "
        f'{files.command("start")}{by}, then --storage "$({files.command("url")})".'
    )
