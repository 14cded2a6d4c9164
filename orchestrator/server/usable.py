"""A URL that can be used now: a server's folder and a database's name in; the URL, its database made, out."""

from __future__ import annotations

from sqlalchemy import exc

from orchestrator.errors import StorageError
from orchestrator.server.asking import create_database, has_database, storage_url
from orchestrator.server.control import is_running
from orchestrator.server.files import ServerFiles
from orchestrator.server.record import ServerRecord, read_record


def usable_url(files: ServerFiles, database: str) -> str:
    """The URL of a database on the running server, which is made when it is new.

    Raises ``StorageError`` when the server does not run, or cannot be reached from this machine.
    """
    files.require()
    record = read_record(files)
    if record is None or not is_running(files, record):
        raise StorageError(_why_not(files, record))
    try:
        if record.process.is_here():
            create_database(files, database)
        elif not has_database(files, database):
            raise StorageError(
                f"There is no database '{database}'; make it where the server runs, on "
                f"{record.process.host}: {files.command('url')} --database {database}"
            )
    except exc.DBAPIError as error:
        raise StorageError(f"The server in {files.root} does not let us in ({error.orig}).") from None
    return storage_url(files, database)


def _why_not(files: ServerFiles, record: ServerRecord | None) -> str:
    if record is None or record.process.is_here() or record.process.rebooted_away():
        return f"The server in {files.root} is not running; start it: {files.command('start')}"
    started = f"The server in {files.root} was started on {record.process.host}"
    if record.tcp_port is None:
        return f"{started}, for that machine alone; stop it there, and start it with --tcp 0."
    return f"{started} and does not answer at {record.tcp}; start it: {files.command('start')}"
