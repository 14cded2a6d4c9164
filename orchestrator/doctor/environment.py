"""The environment of a run: variables, folders and limits in; checks of what would fight us out."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from affinity import Allowance, thread_variables
from orchestrator.doctor.check import Check, bad, good, mind, none
from orchestrator.siblings import OUR_NAMES, names_hidden_in
from orchestrator.ulimits import FILES, FILES_A_WORKER

_LIBRARIES = ("optuna", "sqlalchemy", "plotly", "pandas", "numpy", "rich", "torch", "tensorflow", "keras")
_ROOM_MIB, _SHARED_MIB = 200, 256
_SHARED = Path("/dev/shm")
_TOLD = {"KMP_BLOCKTIME", "LOKY_MAX_CPU_COUNT"}  # these cost nothing


def environment_checks(allowance: Allowance | None, n_cores: int) -> Iterator[Check]:
    """Variables of threads, names that hide packages, limits of this shell, room for what is temporary."""
    yield _variables(os.environ, allowance, n_cores)
    yield _names(_here(), os.environ)
    yield _files(n_cores)
    yield _limits()
    yield _temporary(Path(tempfile.gettempdir()))
    yield _shared(_SHARED)


def _variables(environ: Mapping[str, str], allowance: Allowance | None, n_cores: int) -> Check:
    """Those that a worker would keep, as the user's: each worker the same, whatever its slot."""
    pus = None if allowance is None else allowance.pus
    found = thread_variables(n_cores, environ, pus=pus)
    kept = {name: value for name, value in found.kept.items() if name not in _TOLD}
    if not kept:
        return good("threads", "no variable is set: each slot gets its own number")
    said = ", ".join(f"{name}={value}" for name, value in kept.items())
    step = f"every worker keeps that, whatever its slot is; unless you mean it: unset {' '.join(kept)}"
    return mind("threads", said, step)


def _here() -> Path | None:
    """This folder, unless somebody has removed it."""
    try:
        return Path.cwd()
    except OSError:
        return None


def _names(here: Path | None, environ: Mapping[str, str]) -> Check:
    """Files beside the user's script, or on PYTHONPATH, that Python takes for packages."""
    if here is None:
        return bad("names", "this folder is gone", "cd to one that is there: a run writes into it")
    folders = [here, *(Path(text) for text in environ.get("PYTHONPATH", "").split(os.pathsep) if text)]
    hiding = [path for one in folders for path in (*names_hidden_in(one), *_libraries_in(one))]
    if hiding:
        said = (
            f"{', '.join(dict.fromkeys(map(str, hiding)))}: Python may take that for a package of this name"
        )
        return mind("names", said, "rename it, or keep objectives in another folder")
    return good("names", f"no file here hides {', '.join(OUR_NAMES)} or a library")


def _libraries_in(folder: Path) -> Iterator[Path]:
    """Only what holds Python: a folder of data is a namespace that comes last."""
    for name in _LIBRARIES:
        for path in (folder / f"{name}.py", folder / name / "__init__.py"):
            if path.is_file():
                yield path


def _files(n_cores: int) -> Check:
    """Of an agent with a worker on each core, which raises its soft limit by itself."""
    needed = FILES + FILES_A_WORKER * n_cores
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard >= needed:
        allowed = "any number" if hard == resource.RLIM_INFINITY else str(hard)
        return good("open files", f"{allowed} allowed, {needed} needed for a worker on each core")
    said = f"{hard} allowed, {needed} needed for a worker on each core"
    return mind("open files", said, "raise the hard limit (ulimit -Hn, limits.conf), or lower --n-parallels")


def _limits() -> Check:
    """Limits that end a process of TensorFlow or torch early: they reserve much more than they use."""
    found = []
    for kind, flag, unit in ((resource.RLIMIT_AS, "-v", 2**20), (resource.RLIMIT_CPU, "-t", 1)):
        soft, _ = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY:
            found.append(
                f"ulimit {flag}: {soft // unit:,} {'MiB of address space' if unit > 1 else 's of CPU time'}"
            )
    if found:
        return mind(
            "limits", "; ".join(found), "workers inherit that and may be ended by it: ulimit -v unlimited"
        )
    return good("limits", "neither address space nor CPU time of a process is limited")


def _temporary(folder: Path) -> Check:
    free_mib = shutil.disk_usage(folder).free / 2**20
    said = f"{free_mib / 1024:.1f} GiB free in {folder}"
    if not os.access(folder, os.W_OK):
        return bad("temporary files", f"{folder} may not be written", "set TMPDIR to a folder of yours")
    if free_mib < _ROOM_MIB:
        return mind("temporary files", said, "make room, or set TMPDIR to a folder on another disk")
    return good("temporary files", said)


def _shared(folder: Path) -> Check:
    """The workers of a DataLoader hand over their batches there; containers leave 64 MiB by default."""
    if not folder.is_dir():
        return none("shared memory", f"there is no {folder}")
    size_mib = shutil.disk_usage(folder).total / 2**20
    said = f"{size_mib:,.0f} MiB in {folder}"
    if size_mib < _SHARED_MIB:
        step = "for DataLoader workers of torch: docker run --shm-size 2g, or num_workers=0"
        return mind("shared memory", f"{said}: little", step)
    return good("shared memory", said)
