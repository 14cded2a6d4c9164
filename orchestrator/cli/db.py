"""``nano-hpo db start|url|status|stop|grant``: options in; lines and an exit code out."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.server.files import ServerFiles
    from orchestrator.server.record import ServerRecord
    from orchestrator.server.status import Status

SERVER_HELP = (
    "the server program, mariadbd or mysqld, the folder that it is installed in, or a script that becomes it "
    "(exec apptainer exec …; mariadb-install-db beside it likewise); the environment variable "
    "NANO_HPO_SERVER stands in (default: the first one on the PATH)"
)
_DATABASE = "nano_hpo"
_STATUS_JSON = (
    '--json prints one object: "folder", "running" and "disk_mib"; of a server that runs also "product", '
    '"host", "pid", "uptime_s", "socket", "tcp" (null: none), "for_runs" (the last run that leaves it stops '
    'it), "connections", "max_connections", "studies" (how many by database) and "url".'
)
_DEED_JSON = '--json prints the object of nano-hpo db status, and with it "was_running".'
_EPILOG = """\
example:
  nano-hpo db start ~/hpo-db
  nano-hpo run train.py:objective --n-trials 100 --storage "$(nano-hpo db url ~/hpo-db)"
  nano-hpo db stop ~/hpo-db"""


def add_db(subparsers: Any) -> None:
    """``nano-hpo db``."""
    parser = subparsers.add_parser(
        "db",
        help="a private MariaDB or MySQL server of your own",
        description="Run a private MariaDB or MySQL server as yourself, in a folder; or say what to ask of a "
        "database administrator.",
        epilog=_EPILOG,
    )
    verbs = parser.add_subparsers(dest="db_verb", metavar="VERB", required=True)
    for add in (_add_start, _add_url, _add_status, _add_stop, _add_grant):
        add(verbs)


def _add_start(verbs: Any) -> None:
    parser = verbs.add_parser(
        "start",
        help="start the server in DIR; make it when there is none",
        description="Start the server in DIR, which is made when it is not there. It outlives this shell. "
        "Calling it again does no harm.",
        epilog=f"{_DEED_JSON}\n\n"
        "examples:\n  nano-hpo db start ~/hpo-db\n  nano-hpo db start ~/hpo-db --tcp 3307",
    )
    _add_folder(parser)
    parser.add_argument(
        "--tcp",
        metavar="[HOST:]PORT",
        help="listen on this address too, for other machines; port 0: a free one; without HOST: on this "
        "machine's address (default: on the socket alone)",
    )
    parser.add_argument("--server", metavar="PATH", help=SERVER_HELP)
    parser.add_argument("--json", action="store_true", help="print the server as JSON")
    parser.set_defaults(handler=start)


def _add_url(verbs: Any) -> None:
    parser = verbs.add_parser(
        "url",
        help="print the storage URL; it holds no password",
        description="Print the URL for --storage. It holds no password: it names DIR/client.cnf, which you "
        "alone can read.",
        epilog='--json prints one object: "folder", "database" and "url".\n\n'
        'example:\n  nano-hpo studies --storage "$(nano-hpo db url ~/hpo-db)"',
    )
    _add_folder(parser)
    parser.add_argument(
        "--database", default=_DATABASE, metavar="NAME", help=f"made when it is new (default {_DATABASE})"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(handler=url)


def _add_status(verbs: Any) -> None:
    parser = verbs.add_parser(
        "status",
        help="show whether the server runs, and what it holds",
        description="Show whether the server in DIR runs, and what it holds. Exit code: 0 it runs, 1 not.",
        epilog=f"{_STATUS_JSON}\n\nexample:\n  nano-hpo db status ~/hpo-db",
    )
    _add_folder(parser)
    parser.add_argument("--json", action="store_true", help="the same as JSON")
    parser.set_defaults(handler=status)


def _add_stop(verbs: Any) -> None:
    parser = verbs.add_parser(
        "stop",
        help="end the server in order",
        description="End the server in order and wait until it has ended. Its data stays in DIR.",
        epilog=f"{_DEED_JSON}\n\nexample:\n  nano-hpo db stop ~/hpo-db",
    )
    _add_folder(parser)
    parser.add_argument("--json", action="store_true", help="print what is left as JSON")
    parser.set_defaults(handler=stop)


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="the server's folder, best on a local disk")


def _add_grant(verbs: Any) -> None:
    parser = verbs.add_parser(
        "grant",
        help="print the SQL to ask of a database administrator",
        description="Print the SQL that makes a database and an account for nano-hpo on a server of others.",
        epilog="example:\n  nano-hpo db grant --user me > setup_db.sql",
    )
    parser.add_argument("--database", default=_DATABASE, metavar="NAME", help=f"default {_DATABASE}")
    parser.add_argument("--user", default=_DATABASE, metavar="NAME", help=f"default {_DATABASE}")
    parser.add_argument(
        "--host", default="%", metavar="HOST", help="where it may log in from (default: anywhere)"
    )
    parser.add_argument(
        "--create-rights",
        choices=("all", "none"),
        default="all",
        help="none: for an account that uses tables which a colleague's has made (default all)",
    )
    parser.set_defaults(handler=grant)


def start(options: argparse.Namespace) -> int:
    """``nano-hpo db start``."""
    from orchestrator.server import control
    from orchestrator.server.address import parse_tcp
    from orchestrator.server.choice import chosen_server

    files = _files(options)
    tcp = None if options.tcp is None else parse_tcp(options.tcp)
    record, is_new = control.start(files, tcp, _note, chosen_server(options.server))
    print(_deed_json(files, not is_new) if options.json else "\n".join(_start_lines(files, record, is_new)))
    return 0


def _deed_json(files: ServerFiles, was_running: bool) -> str:
    from orchestrator.server.status import read_status

    return json.dumps({**read_status(files).as_json(), "was_running": was_running}, indent=2)


def _start_lines(files: ServerFiles, record: ServerRecord, is_new: bool) -> list[str]:
    process = f"process {record.process.pid} on {record.process.host}"
    address = f", listening on {record.tcp}" if record.tcp else ""
    return [
        f"Server:   {record.product}, {process}{address}{'' if is_new else '; it was running'}",
        f"Folder:   {files.root} (settings: {files.settings.name}, log: {files.log.name})",
        f'Use it:   --storage "$({files.command("url")})"',
        f"Stop it:  {files.command('stop')}",
    ]


def url(options: argparse.Namespace) -> int:
    """``nano-hpo db url``."""
    from orchestrator.server.accounts import checked_database
    from orchestrator.server.usable import usable_url

    files, database = _files(options), checked_database(options.database)
    found = usable_url(files, database)
    as_json = {"folder": str(files.root), "database": database, "url": found}
    print(json.dumps(as_json, indent=2) if options.json else found)
    return 0


def status(options: argparse.Namespace) -> int:
    """``nano-hpo db status``; 1 when the server does not run."""
    from orchestrator.server.status import read_status

    found = read_status(_files(options))
    print(json.dumps(found.as_json(), indent=2) if options.json else "\n".join(_status_lines(found)))
    return 0 if found.serving else 1


def _status_lines(found: Status) -> list[str]:
    from orchestrator.progress import duration

    on_disk = f"Folder:       {found.folder} ({found.disk_mib} MiB)"
    serving = found.serving
    if serving is None:
        return ["Server:       not running", on_disk]
    uptime = duration(serving.uptime_s)
    studies = [f"{name} ({count} studies)" for name, count in serving.studies.items()]
    return [
        f"Server:       {serving.product}, process {serving.pid} on {serving.host}, up {uptime}",
        on_disk,
        f"Connections:  {serving.connections} of {serving.max_connections}",
        f"Listening:    {serving.tcp or serving.socket}",
        f"Databases:    {', '.join(studies)}",
    ]


def stop(options: argparse.Namespace) -> int:
    """``nano-hpo db stop``."""
    from orchestrator.server import control

    files = _files(options)
    was_running = control.stop(files)
    said = f"The server in {files.root} {'has ended; its data stays' if was_running else 'is not running'}."
    print(_deed_json(files, was_running) if options.json else said)
    return 0


def grant(options: argparse.Namespace) -> int:
    """``nano-hpo db grant``."""
    from orchestrator.server.grant import Grant, render_grant

    asked = Grant(options.database, options.user, options.host, options.create_rights == "all")
    print(render_grant(asked), end="")
    return 0


def _files(options: argparse.Namespace) -> ServerFiles:
    from orchestrator.errors import StorageError
    from orchestrator.server.files import ServerFiles

    if ":/" in str(options.folder):
        raise StorageError("nano-hpo db takes a folder for the server's data, not a URL.")
    return ServerFiles.at(options.folder)


def _note(text: str) -> None:
    print(f"nano-hpo: {text}", file=sys.stderr)
