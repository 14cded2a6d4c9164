"""The programs of a database server: folders, or a path that a user names, in; the server that is there out.

MariaDB's and MySQL's servers are much alike; the former has a script of its own to make its data.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.errors import StorageError

Flavour = Literal["MariaDB", "MySQL"]
SERVERS = ("mariadbd", "mysqld")
_INSTALLERS = ("mariadb-install-db", "mysql_install_db")
# Where an ordinary user's PATH does not look: Debian, Red Hat, tarballs, software collections.
_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/usr/local/libexec", "/usr/local/mysql/bin")
_GLOBS = ("*/bin", "*/sbin", "*/libexec", "rh/*/root/usr/libexec")
_HOW = (
    "install one (Debian, Ubuntu: apt install mariadb-server; Red Hat, Fedora: dnf install mariadb-server; "
    "without root: conda install -c conda-forge mariadb), load its module (module avail mariadb mysql), or "
    "name one that is elsewhere: --server PATH (server=PATH)"
)
_MESSAGES = ("share/english/errmsg.sys", "share/*/english/errmsg.sys")  # that each server brings along
_ANSWER_S = 120.0  # a container may have to be unpacked first


@dataclass(frozen=True, slots=True)
class Programs:
    """A server, of which kind and version, and what makes MariaDB's data directory (MySQL does it itself)."""

    flavour: Flavour
    version: str
    server: Path
    installer: Path | None

    @property
    def basedir(self) -> Path | None:
        """The prefix that the server is installed in, with its messages; None where it knows that itself.

        Those of distributions do, and so does a program in a container: there is no prefix around its script.
        """
        for server in (self.server, self.server.resolve()):
            prefix = server.parent.parent
            if any(True for pattern in _MESSAGES for _ in prefix.glob(pattern)):
                return None if prefix == Path("/usr") else prefix
        return None


def search_folders() -> list[Path]:
    """The PATH; this Python's environment and conda's; then where systems and tarballs keep servers."""
    named = os.environ.get("PATH", "").split(os.pathsep)
    environments = [f"{sys.prefix}/bin", f"{os.environ.get('CONDA_PREFIX', sys.prefix)}/bin"]
    tarballs = sorted(str(path) for pattern in _GLOBS for path in Path("/opt").glob(pattern))
    return [Path(text) for text in (*named, *environments, *_FOLDERS, *tarballs) if text]


def find_programs(folders: Sequence[Path] | None = None) -> Programs:
    """The first usable server. Raises ``StorageError`` that says what to install."""
    folders = search_folders() if folders is None else folders
    unfit = []
    for server in _found(SERVERS, folders):
        found = _examined(server, folders)
        if isinstance(found, Programs):
            return found
        unfit.append(found)
    where = "; ".join(unfit) or f"neither {' nor '.join(SERVERS)} is on the PATH or in {_FOLDERS[0]}"
    raise StorageError(f"No MariaDB or MySQL server was found ({where}): {_HOW}.")


def named_programs(path: Path) -> Programs:
    """The server that a user names: its program, a script that becomes it, or the folder it is installed in.

    Raises ``StorageError`` when there is none, or none that runs.
    """
    server = locate(path)
    found = _examined(server, ())
    if isinstance(found, Programs):
        return found
    raise StorageError(f"Server {path} cannot be used: {found}.")


def locate(path: Path) -> Path:
    """The program that a path names, without running it; refuses what is not there, or no program."""
    if path.is_dir():
        folders = [path, *(path / name for name in ("bin", "sbin", "libexec"))]
        found = next(_found(SERVERS, folders), None)
        if found is None:
            names, places = " nor ".join(SERVERS), "bin/, sbin/ and libexec/"
            raise StorageError(
                f"Server {path}: there is neither {names} that you may run, there or in its {places}."
            )
        return found
    if not path.exists():
        raise StorageError(f"Server {path} is not there; name the program or the folder it is installed in.")
    if not path.is_file() or not os.access(path, os.X_OK):
        raise StorageError(f"Server {path} is no program that you may run; see chmod +x, or the path.")
    return path


def _examined(server: Path, folders: Sequence[Path]) -> Programs | str:
    """A server with what belongs to it; or what is wrong with it. Installers are beside it, or in folders."""
    version = _version(server)
    if version is None:
        return f"{server} does not run as a server (--no-defaults --version)"
    if "MariaDB" not in version:
        return Programs("MySQL", version, server, None)
    places = [*_beside(server), *_beside(server.resolve()), *folders]
    installer = next(_found(_INSTALLERS, places), None)
    if installer is None:
        return f"{server} is there, but not {_INSTALLERS[0]} beside it"
    return Programs("MariaDB", version, server, installer)


def _found(names: Sequence[str], folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        for name in names:
            path = shutil.which(name, path=str(folder))
            if path is not None:
                yield Path(path)


def _beside(server: Path) -> list[Path]:
    prefix = server.parent.parent
    return [server.parent, prefix / "bin", prefix / "scripts", prefix / "sbin"]


def _version(server: Path) -> str | None:
    """``10.11.6-MariaDB`` or ``8.0.39``; None for a program that does not run here, or is no server."""
    command = [str(server), "--no-defaults", "--version"]
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ANSWER_S,
        )
        words = done.stdout.split()
        is_client = "Distrib" in words or Path(words[0] if words else "").name in ("mariadb", "mysql")
        if done.returncode == 0 and "Ver" in words[:-1] and not is_client:
            return words[words.index("Ver") + 1]
    return None
