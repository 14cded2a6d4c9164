"""How a private server is set: memory and paths in; the text of its option file and its command line out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from orchestrator.server.address import Tcp
from orchestrator.server.files import ServerFiles
from orchestrator.server.programs import Programs

MAX_CONNECTIONS = 1000
_MIB = 1024**2


def buffer_pool_mib(available_bytes: int) -> int:
    """A sixteenth of the free memory, from 64 to 512 MiB: 100,000 trials need about a hundred."""
    return min(max(available_bytes // 16 // _MIB, 64), 512)


def option_file(pool_mib: int) -> str:
    """The settings of a server for studies; the user may change them, so each says why."""
    return f"""\
# Settings of a private server for nano-hpo. Yours to change: nano-hpo db stop, edit, nano-hpo db start.
[mysqld]
# Names of parameters and studies are compared exactly: P is not p, and accents count.
character_set_server = utf8mb4
collation_server = utf8mb4_bin

# One connection for each worker and agent; many of them begin at the same moment.
max_connections = {MAX_CONNECTIONS}
back_log = 512
# A worker says nothing while a trial lasts, which may be days (here 30). Killed workers block no host.
wait_timeout = 2592000
interactive_timeout = 2592000
max_connect_errors = 1000000
skip_name_resolve

# Studies are small: 100,000 trials take about a hundred MiB.
innodb_buffer_pool_size = {pool_mib}M
innodb_log_file_size = 32M
# 2: a commit is handed to the system at once and reaches the disk within about a second. The server may be
# killed without any loss; a power cut may take the last second, whose trials are then run again. 1: never.
innodb_flush_log_at_trx_commit = 2

# Not needed here: memory for measurements, a log for replicas, a second protocol with a socket in /tmp.
performance_schema = OFF
skip_log_bin
loose_mysqlx = OFF
# MariaDB 11.6 and newer would refuse a transaction where older ones and MySQL wait for a row.
loose_innodb_snapshot_isolation = OFF
"""


def server_command(
    programs: Programs, files: ServerFiles, socket: str, tcp: Tcp | None, init_file: Path | None
) -> list[str]:
    """The server's command line: paths and addresses, no secrets."""
    command = [str(programs.server), f"--defaults-file={files.settings}", *base(programs), *as_root()]
    command += [f"--datadir={files.data}"]
    command += [f"--socket={socket}", f"--pid-file={files.pid}"]
    if ":" not in str(files.scratch):  # which would part two folders
        command += [f"--tmpdir={files.scratch}"]
    if init_file is not None:
        command += [f"--init-file={init_file}"]
    if tcp is None:
        return [*command, "--skip-networking"]
    return [*command, f"--bind-address={tcp.host}", f"--port={tcp.port}"]


def base(programs: Programs) -> Sequence[str]:
    """Where the server finds its own files, for one that was moved there."""
    return () if programs.basedir is None else (f"--basedir={programs.basedir}",)


def as_root() -> Sequence[str]:
    """What a server wants to hear before it runs as root.

    Another user could not enter a folder below a private one, so root's server is root's, as all its files.
    """
    return ("--user=root",) if os.geteuid() == 0 else ()
