"""The MPIs of this machine as the tests use them: launchers and environments in; what each rank told out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
# By their own names: what mpirun means is up to the order in which they were installed.
OPEN_MPI = shutil.which("mpirun.openmpi") or shutil.which("mpirun") or "mpirun"
HYDRA = shutil.which("mpiexec.hydra") or "mpiexec.hydra"

needs_open_mpi = pytest.mark.skipif(shutil.which(OPEN_MPI) is None, reason="Open MPI: not installed")
needs_mpich = pytest.mark.skipif(shutil.which(HYDRA) is None, reason="MPICH: not installed")

# Fake hosts: what ssh would run there runs here. Each has a /tmp of its own, as the daemons clean theirs up.
RSH = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
TMPDIR="$(dirname "$0")/$1"
mkdir -p "$TMPDIR"
export TMPDIR
shift
exec sh -c "$*"
"""

HEAD = """
import json, os, sys, time
from pathlib import Path

import launchers.world
from launchers import LauncherError, RankError, join_world, read_rank

def tell(**facts):
    name = Path(f"told-{os.getpid()}")
    name.write_text(json.dumps(facts))
    name.rename(f"{name}.json")
"""


def open_mpi(n_ranks: int, *options: str) -> list[str]:
    """Its mpirun for any number of cores."""
    return [OPEN_MPI, "--oversubscribe", "--bind-to", "none", *options, "-n", str(n_ranks)]


def hydra(n_ranks: int, *options: str) -> list[str]:
    """MPICH's mpiexec."""
    return [HYDRA, *options, "-n", str(n_ranks)]


def environment() -> dict[str, str]:
    """For Open MPI, which takes some persuasion as root; mpi4py finds its library, whoever starts it."""
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    # Without shared memory: ranks of fake hosts would mistake each other's.
    return {**os.environ, **root, "OMPI_MCA_btl": "self,tcp", "PYTHONPATH": str(ROOT)}


def mpich_environment(folder: Path) -> dict[str, str]:
    """For mpi4py to find MPICH's library: it asks for libmpi.so.12, and Debian calls that libmpich.so.12."""
    own = folder / "mpich-lib"
    if not own.exists():
        own.mkdir()
        for library in Path("/usr/lib").glob("*/libmpich.so.12"):
            (own / "libmpi.so.12").symlink_to(library)
    known = os.environ.get("LD_LIBRARY_PATH")
    return environment() | {"LD_LIBRARY_PATH": f"{own}:{known}" if known else str(own)}


def fake_rsh(folder: Path) -> str:
    """A program in place of ssh."""
    path = folder / "rsh"
    path.write_text(RSH)
    path.chmod(0o755)
    return str(path)


@dataclass(frozen=True)
class Launched:
    """An ended launch: its exit code, what it printed, and what each process told, ordered by its rank."""

    code: int
    err: str
    told: list[dict[str, Any]]


def launch(command: Sequence[str], body: str, folder: Path, env: Mapping[str, str]) -> Launched:
    """Run a program behind a launcher (none: by itself); each process may ``tell`` facts, once."""
    (folder / "program.py").write_text(HEAD + body)
    return launch_script(command, "program.py", folder, env)


def launch_script(command: Sequence[str], script: str, folder: Path, env: Mapping[str, str]) -> Launched:
    """Run a script of the folder likewise; its facts are in files ``told-….json``."""
    done = subprocess.run(
        [*command, sys.executable, script],
        cwd=folder,
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    told = [json.loads(file.read_text()) for file in folder.glob("told-*.json")]
    told.sort(key=lambda facts: facts.get("index", 0))
    return Launched(done.returncode, done.stdout + done.stderr, told)
