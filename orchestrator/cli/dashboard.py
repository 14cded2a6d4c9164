"""``nano-hpo dashboard``: a storage and an address in; Optuna's dashboard until Ctrl-C out."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from orchestrator.cli.shared import STORAGE_HELP

if TYPE_CHECKING:
    from orchestrator.dashboard import DashboardServer

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def add_dashboard(subparsers: Any) -> None:
    """The verb and its options."""
    parser = subparsers.add_parser(
        "dashboard",
        help="look at studies in a browser, while they run",
        description="Serve Optuna's dashboard (pip install optuna-dashboard) for the studies of a database, "
        "also while a run is at work on them, until Ctrl-C. It asks for no password and can change studies: "
        "leave it on 127.0.0.1, which only users of this machine reach, and come through ssh.",
        epilog="examples:\n"
        "  nano-hpo dashboard --storage sqlite:///study.db\n"
        "  nano-hpo dashboard --storage mysql://user@host/db --study-name digits --port 0",
    )
    parser.add_argument("--storage", metavar="URL", help=STORAGE_HELP)
    parser.add_argument("--study-name", metavar="NAME", help="say this study's address (default: of all)")
    parser.add_argument(
        "--port", type=int, default=8080, metavar="N", help="0: any that is free (default 8080)"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="where to listen (default 127.0.0.1)"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help='print a line of JSON once it listens: "url", "host", "port", "study"',
    )
    parser.set_defaults(handler=dashboard)


def dashboard(options: argparse.Namespace) -> int:
    """Open the storage, listen, say where, serve; 0 after Ctrl-C."""
    from orchestrator.cli.places import named_url, opened
    from orchestrator.dashboard import DashboardServer
    from orchestrator.storage.study_storage import StudyStorage

    url = named_url(options.storage)
    _require_studies(url, options.study_name)
    with opened(url) as database:
        storage = StudyStorage(database)
        server = DashboardServer(storage, options.host, options.port)
        name = options.study_name
        page = "" if name is None else f"/studies/{storage.get_study_id_from_name(name)}"
        print(_said(options, server, f"/dashboard{page}"), flush=True)
        server.serve()
    return 0


def _require_studies(url: str, name: str | None) -> None:
    """Refuse a study that is not there, and a database without any: it may be the wrong one."""
    from orchestrator.cli.places import require_file, stored_study
    from orchestrator.errors import StudyError
    from orchestrator.sql.asking import study_names
    from orchestrator.storage_url import masked

    require_file(url)
    if name is not None:
        stored_study(url, name)
    elif not study_names(url):
        raise StudyError(f"{masked(url)} holds no study yet; begin a run first, or see the URL.")


def _said(options: argparse.Namespace, server: DashboardServer, page: str) -> str:
    """One line for a program, several for people."""
    from orchestrator.results import dumps

    if not options.json:
        return "\n".join(_lines(server, options.host, page))
    place = {"url": f"{server.url}{page}", "host": options.host, "port": server.port}
    return dumps({**place, "study": options.study_name}, indent=None)


def _lines(server: DashboardServer, host: str, page: str) -> list[str]:
    """Where it is, how to come there from elsewhere, and who else can."""
    from getpass import getuser
    from socket import gethostname

    lines = [f"Dashboard:  {server.url}{page}"]
    if host in _LOOPBACK:
        port, there = server.port, server.url.rpartition(":")[0].removeprefix("http://")
        lines.append(f"Elsewhere:  ssh -N -L {port}:{there}:{port} {getuser()}@{gethostname()}")
        lines.append("            (then the same address there)")
    else:
        lines.append(
            "Open to:    everyone who reaches this port; no password is asked, and studies can be changed"
        )
    return [*lines, "End it:     Ctrl-C"]
