"""A rank in; out comes which CPUs it divides, with how many other ranks of its node, and what to say of it.

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

from affinity import format_list, parse_list

from .rank import Rank

__all__ = ["Confinement", "read_confinement"]

OPEN_MPI = ("mpirun", "mpiexec", "orterun", "orted", "prterun", "prte", "prted")
HYDRA = ("hydra_pmi_proxy", "pmi_proxy")  # its mpiexec.hydra is an mpiexec
INTEL = "I_MPI_HYDRA_UUID"  # set by the mpiexec of Intel MPI, which is a Hydra as well

NOT_BOUND = {
    "openmpi": "mpirun --bind-to none",
    "mpich": "mpiexec -bind-to none",
    "pmi": "mpiexec --cpu-bind none",  # HPE Cray's
}
NOT_BOUND_INTEL = "mpiexec -genv I_MPI_PIN off"
NOT_BOUND_SRUN = "srun --cpus-per-task=N, or --cpu-bind=none to share all CPUs of the job"


@dataclass(frozen=True, slots=True)
class Confinement:
    """`n_ranks` ranks divide CPUs among them, of which this one is `place`.

    pus: the CPUs, ascending; `None` stands for the rank's own mask. source: whose mask that is, for people.
    bound: the CPUs that the launcher bound this rank to, where that is not what is used. more: what would
    give it more CPUs than its mask has, as one types it; empty where nobody has bound it. is_guess: the
    launcher's process cannot be seen, so a mask of the rank's own is taken for one that all ranks share.
    """

    pus: tuple[int, ...] | None
    n_ranks: int
    place: int
    source: str = ""
    bound: tuple[int, ...] = ()
    more: str = ""
    is_guess: bool = False

    @property
    def note(self) -> str | None:
        """What people should know of it, on one line."""
        if self.bound and self.pus is not None:
            return (
                f"{self.source} bound this rank to CPU {format_list(self.bound)}. The ranks of this node "
                f"({self.n_ranks}) divide CPU {format_list(self.pus)} all the same, as {self.source} may use "
                f"these; --keep-binding keeps each where it was put, {self.more} binds none."
            )
        if self.is_guess:
            share = f", and all {self.n_ranks} ranks of this node are taken to share them" * (
                self.n_ranks > 1
            )
            return (
                "What started this rank cannot be seen from here: it uses the CPUs that it was given and no "
                f"others{share}. If it was bound to too few, start it with {self.more}."
            )
        return None


def read_confinement(
    rank: Rank,
    environ: Mapping[str, str],
    keep_binding: bool = False,
    process: Path = Path("/proc/self"),
) -> Confinement:
    """What this rank divides with the others of its node; all of them come to the same answer.

    `keep_binding` takes the inherited mask for this rank's own share.
    """
    if rank.launcher == "alone":
        return Confinement(None, 1, 0)
    if rank.launcher == "slurm":
        more = NOT_BOUND_SRUN if _is_bound(environ) else ""
        if keep_binding or _has_cpus_of_its_own(environ):
            return Confinement(None, 1, 0, "srun", more=more)
        return Confinement(None, rank.local_size, rank.local_index, more=more)
    more = (
        NOT_BOUND_INTEL
        if INTEL in environ
        else NOT_BOUND.get(rank.launcher, "its launcher's option for no binding")
    )
    if keep_binding:
        return Confinement(None, 1, 0, more=more)
    for name, pus in _ancestors(process):
        if name.partition(".")[0] in OPEN_MPI + HYDRA:
            own = parse_list(_status(process)["Cpus_allowed_list"])
            bound = own if set(own) < set(pus) else ()
            return Confinement(pus, rank.local_size, rank.local_index, name, bound, more)
    return Confinement(None, rank.local_size, rank.local_index, more=more, is_guess=True)


def _is_bound(environ: Mapping[str, str]) -> bool:
    return "none" not in environ.get("SLURM_CPU_BIND_TYPE", "none")


def _has_cpus_of_its_own(environ: Mapping[str, str]) -> bool:
    """Whether srun gave the tasks of this node masks that do not overlap."""
    if not _is_bound(environ):
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
