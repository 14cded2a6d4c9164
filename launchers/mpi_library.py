"""Which MPI mpi4py uses, and beginning it: the name of a launcher in; `mpi4py.MPI`, initialised, out.

MPI_Init of the wrong MPI makes each process a world of its own at best. At worst it ends the process: MPICH's
does so behind the mpirun of Open MPI 5, and Open MPI's behind `srun --mpi=none` (tried). So the library is
asked for its name first, which is allowed before MPI_Init (MPI 4.1, 9.1.1).
"""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from .errors import LauncherError

__all__ = [
    "FROM_ENVIRONMENT",
    "REBUILD",
    "begin_mpi",
    "is_installed",
    "name_of",
    "read_mpi_library",
    "running_mpi",
]

OTHERS = {  # how the libraries begin to name themselves that cannot join the world of a launcher
    "openmpi": ("MPICH", "Intel(R) MPI", "MVAPICH", "CRAY MPICH"),
    "mpich": ("Open MPI",),
}
PROGRAMS = {"openmpi": "The mpirun of Open MPI", "mpich": "The mpiexec of MPICH or Intel MPI"}
FROM_ENVIRONMENT = "The ranks come from the environment."
REBUILD = (
    "Build mpi4py with the MPI that starts it (pip install --no-binary=mpi4py mpi4py), or name that MPI's "
    "library in MPI4PY_LIBMPI."
)
TEXT_LENGTH = 8192  # MPI_MAX_LIBRARY_VERSION_STRING of MPICH, the longest
NAME_LENGTH = 60


def is_installed() -> bool:
    """Whether there is an mpi4py."""
    return find_spec("mpi4py") is not None


def running_mpi() -> Any:
    """``mpi4py.MPI``, where it is at work in this process; None where it is not."""
    mpi = sys.modules.get("mpi4py.MPI")
    return mpi if mpi is not None and mpi.Is_initialized() and not mpi.Is_finalized() else None


def begin_mpi(launcher: str) -> Any:
    """``mpi4py.MPI``, initialised; whoever begins it ends it, as mpi4py does not at the end of the process.

    Raises ``LauncherError`` where it would go wrong.
    """
    library = read_mpi_library()
    if library.startswith(OTHERS.get(launcher, ())):
        raise LauncherError(f"{PROGRAMS[launcher]} has started us, mpi4py uses {library}. {REBUILD}")
    try:
        with _no_finalize():
            importlib.import_module("mpi4py.MPI")
    except (ImportError, RuntimeError) as error:
        raise LauncherError(_unusable(error)) from error
    if running_mpi() is None:
        raise LauncherError("mpi4py is told not to initialise MPI (mpi4py.rc).")
    return running_mpi()


def read_mpi_library() -> str:
    """The MPI that mpi4py uses, as it names itself; nothing is initialised for it.

    A dynamic library is asked for what it needs as well (dlsym(3)). Raises ``LauncherError`` when there is
    none, or it does not load.
    """
    try:
        spec = find_spec("mpi4py.MPI")
        if spec is None or spec.origin is None:
            raise ImportError("it has no part for this MPI")
        ask = ctypes.CDLL(spec.origin, os.RTLD_LAZY | os.RTLD_LOCAL).MPI_Get_library_version
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise LauncherError(_unusable(error)) from error
    text, length = ctypes.create_string_buffer(TEXT_LENGTH), ctypes.c_int()
    ask(text, ctypes.byref(length))
    return _short(text.value.decode(errors="replace"))


def name_of(mpi: Any) -> str:
    """The MPI that is at work, as it names itself."""
    return _short(mpi.Get_library_version())


def _short(library: str) -> str:
    """«Open MPI v4.1.4, package: …» is Open MPI v4.1.4."""
    line = library.partition("\n")[0].partition(",")[0]
    return " ".join(line.replace("Version:", "").split())[:NAME_LENGTH]


def _unusable(error: Exception) -> str:
    why = " ".join(str(error).split()).rstrip(".")
    return (
        f"mpi4py cannot be used ({why}). Put the folder of the launcher's MPI library into LD_LIBRARY_PATH."
    )


@contextmanager
def _no_finalize() -> Iterator[None]:
    """mpi4py would end MPI at exit, and wait for all ranks, also in one that has failed."""
    rc: Any = importlib.import_module("mpi4py").rc
    before, rc.finalize = rc.finalize, False
    try:
        yield
    finally:
        rc.finalize = before
