"""A rank in; out comes which CPUs it divides, and with how many other ranks of its node.

The mask that a rank inherits may be its launcher's doing. `mpirun` binds each rank to a single core unless
told otherwise; that is a habit and nobody's wish for a program that starts workers. But the launcher's own
process on the node (`mpirun`, `orted`, `prted`, `hydra_pmi_proxy`) keeps the mask that the job was given, so
behind an MPI the ranks of a node divide **that**. `srun` binds each task to CPUs of its own where the site's
plugins say so (`SLURM_CPU_BIND_TYPE`, srun(1)); these are the task's share already.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from affinity import parse_list

from .rank import Rank

__all__ = ["Confinement", "read_confinement"]

OPEN_MPI = ("mpirun", "mpiexec", "orterun", "orted", "prterun", "prte", "prted")
HYDRA = ("mpiexec.hydra", "hydra_pmi_proxy", "pmi_proxy")
TASK_NAME_LENGTH = 15  # /proc/PID/status cuts names there (proc(5))


@dataclass(frozen=True, slots=True)
class Confinement:
    """`n_ranks` ranks divide CPUs among them, of which this one is `place`.

    pus: the CPUs, ascending; `None` stands for the rank's own mask. source: whose mask that is, for people.
    """

    pus: tuple[int, ...] | None
    n_ranks: int
    place: int
    source: str = ""


def read_confinement(
    rank: Rank,
    environ: Mapping[str, str],
    keep_binding: bool = False,
    process: Path = Path("/proc/self"),
) -> Confinement:
    """What this rank divides with the others of its node; all of them come to the same answer.

    `keep_binding` takes the inherited mask for this rank's own share.
    """
    if keep_binding or rank.launcher == "alone":
        return Confinement(None, 1, 0)
    shared = Confinement(None, rank.local_size, rank.local_index)
    if rank.launcher == "slurm":
        return Confinement(None, 1, 0, "srun") if _has_cpus_of_its_own(environ) else shared
    for name, pus in _ancestors(process):
        if name in {known[:TASK_NAME_LENGTH] for known in OPEN_MPI + HYDRA}:
            return Confinement(pus, rank.local_size, rank.local_index, name)
    return shared


def _has_cpus_of_its_own(environ: Mapping[str, str]) -> bool:
    """Whether srun gave the tasks of this node masks that do not overlap."""
    if "none" in environ.get("SLURM_CPU_BIND_TYPE", "none"):
        return False
    words = environ.get("SLURM_CPU_BIND_LIST", "").split(",")
    masks = [int(word, 16) for word in words if re.fullmatch(r"0x[0-9a-fA-F]+", word)]
    union = 0
    for mask in masks:
        if union & mask:
            return False
        union |= mask
    return len(masks) > 1


def _ancestors(process: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and mask of the processes above one, the nearest first, as far as this system shows them."""
    parent = _status(process).get("PPid", "0")
    while parent != "0":
        status = _status(process.with_name(parent))
        if "Cpus_allowed_list" not in status:
            return
        yield status.get("Name", ""), parse_list(status["Cpus_allowed_list"])
        parent = status.get("PPid", "0")


def _status(process: Path) -> dict[str, str]:
    try:
        lines = (process / "status").read_text(errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines)
    return {name: text.strip() for name, _, text in pairs}
