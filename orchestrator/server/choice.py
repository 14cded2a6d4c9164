"""Which server program is asked for: ``--server``, ``server=`` or NANO_HPO_SERVER in; its programs out."""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.errors import SpecError
from orchestrator.server.programs import Programs, find_programs, named_programs
from orchestrator.storage_url import AUTOMATIC, automatic_folder

ENVIRONMENT = "NANO_HPO_SERVER"


def chosen_server(given: str | Path | None) -> str | None:
    """The server asked for: the argument, else the environment variable NANO_HPO_SERVER, else None.

    As an absolute path, which need not be there: a search may be for another machine.
    """
    if given is not None and not isinstance(given, str | Path):
        raise SpecError(f"server is {given!r}; it must be a path.")
    if given is not None and not str(given).strip():
        raise SpecError("The server is an empty text; leave it out, or name its program or folder.")
    named = given or os.environ.get(ENVIRONMENT)
    return str(Path(named).expanduser().absolute()) if named else None


def server_for(storage_url: str | None, given: str | Path | None) -> str | None:
    """The server for the private one of a run; None for other storages, for which nobody may ask for one."""
    if storage_url is not None and automatic_folder(storage_url) is not None:
        return chosen_server(given)
    if given is not None:
        raise SpecError(
            f"--server (server=PATH) is for a private server: give --storage {AUTOMATIC} "
            f"(storage='{AUTOMATIC}') with it, or leave it out."
        )
    return None


def programs_of(server: str | None) -> Programs:
    """The programs of the server that is named; else the first that is found."""
    return find_programs() if server is None else named_programs(Path(server))
