"""The programs of a database server: folders in; which server is there, MariaDB or MySQL, out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
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
    "without root: conda install -c conda-forge mariadb), or load its module (module avail mariadb mysql)"
)


@dataclass(frozen=True, slots=True)
class Programs:
    """A server, of which kind and version, and what makes MariaDB's data directory (MySQL does it itself)."""

    flavour: Flavour
    version: str
    server: Path
    installer: Path | None


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
        version = _version(server)
        if version is None:
            unfit.append(f"{server} does not run")
            continue
        if "MariaDB" not in version:
            return Programs("MySQL", version, server, None)
        installer = next(_found(_INSTALLERS, [*_beside(server), *folders]), None)
        if installer is not None:
            return Programs("MariaDB", version, server, installer)
        unfit.append(f"{server} is there, but not {_INSTALLERS[0]}")
    where = "; ".join(unfit) or f"neither {' nor '.join(SERVERS)} is on the PATH or in {_FOLDERS[0]}"
    raise StorageError(f"No MariaDB or MySQL server was found ({where}): {_HOW}.")


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
    """``10.11.6-MariaDB`` or ``8.0.39``; None for a program that does not run here."""
    command = [str(server), "--no-defaults", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    words = done.stdout.split()
    return words[words.index("Ver") + 1] if done.returncode == 0 and "Ver" in words[:-1] else None
