"""MPI: what is on the PATH and what mpi4py is linked to, in; checks of whether they fit out."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator

from launchers import LauncherError, read_mpi_library
from launchers.mpi_library import FROM_ENVIRONMENT, OTHERS, REBUILD, is_installed
from orchestrator.doctor.check import Check, good, mind, none
from orchestrator.doctor.programs import answer

_FAMILIES = {"openmpi": r"Open MPI|OpenRTE|open-mpi|prte", "mpich": r"HYDRA|MPICH|Intel\(R\) MPI|MVAPICH"}


def mpi_checks() -> Iterator[Check]:
    """The launcher, then the library of mpi4py against it."""
    path = shutil.which("mpirun") or shutil.which("mpiexec")
    if path is None:
        yield none("mpirun", "not on PATH; for ranks on several machines, load your cluster's MPI")
        yield _library(None)
        return
    asked = answer([path, "--version"])
    said = asked.text if asked is not None and asked.is_well else ""
    yield _launcher(path, said)
    yield _library(family_of(said))


def _launcher(path: str, said: str) -> Check:
    if not said:
        return mind(
            "mpirun", f"{path} does not answer to --version", "is it whole? See the modules of your site"
        )
    return good("mpirun", f"{path}: {title_of(said)}")


def family_of(version: str) -> str | None:
    """Whose launcher says this: "openmpi" or "mpich", to which Intel's belongs; None for others."""
    return next((name for name, words in _FAMILIES.items() if re.search(words, version)), None)


def title_of(version: str) -> str:
    """The name and number in what a launcher says of its version."""
    lines = [" ".join(line.split()) for line in version.splitlines() if line.strip()]
    if lines and lines[0].startswith("HYDRA"):
        number = next((line.partition(":")[2].strip() for line in lines if line.startswith("Version:")), "")
        return f"MPICH's Hydra {number}".strip()
    return lines[0][:80] if lines else "of unknown version"


def _library(family: str | None) -> Check:
    if not is_installed():
        return none("mpi4py", "not installed: the launcher's environment tells ranks")
    try:
        library = read_mpi_library()
    except LauncherError as error:
        return mind("mpi4py", str(error), "until then the launcher's environment tells ranks")
    if family is not None and library.startswith(OTHERS.get(family, ())):
        return mind("mpi4py", f"uses {library}, mpirun is another MPI's. {FROM_ENVIRONMENT}", REBUILD)
    return good("mpi4py", f"uses {library}")
