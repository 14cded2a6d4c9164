"""Environment variables in, `Rank` out: which of how many launched processes am I?

What each launcher says is a row of `LAUNCHERS`; nothing else here knows a launcher by name, and no MPI
library is loaded for it. The rows are tried in order and the first whose `announced_by` is set answers, so
that the **innermost launcher wins**: `mpirun` inside `sbatch` or `srun` leaves Slurm's variables in place, so
Open MPI and Hydra come before Slurm; `srun --mpi=pmi2` and `--mpi=pmix` set a PMI rank but no local one, so
Slurm comes before plain PMI and PMIx. The batch script of `sbatch` is no task of a step: it runs alone.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .errors import RankError

__all__ = ["ALONE", "LAUNCHERS", "Launcher", "Rank", "read_rank"]

Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rank:
    """Process `index` of `size`, and `local_index` of the `local_size` on this node; both count from 0."""

    index: int
    size: int
    local_index: int
    local_size: int
    launcher: str

    def __post_init__(self) -> None:
        _check_index("rank", self.index, self.size)
        _check_index("local rank", self.local_index, self.local_size)
        if self.local_size > self.size:
            raise RankError(f"{self.local_size} ranks on this node, but only {self.size} in all.")


def _check_index(noun: str, index: int, size: int) -> None:
    if size < 1:
        raise RankError(f"{noun} {index} of {size}: there must be at least one.")
    if not 0 <= index < size:
        raise RankError(f"{noun} {index} of {size}: it must be one of 0 to {size - 1}.")


ALONE = Rank(index=0, size=1, local_index=0, local_size=1, launcher="alone")


@dataclass(frozen=True, slots=True)
class Launcher:
    """How one launcher tells a process its rank: per number the variables to read, the first that is set.

    `tasks_per_node` is Slurm's list («2(x3),1»), of which `node_index` picks the local size.
    `not_a_task` holds values of `announced_by` that mean «this process is no rank of this launcher».
    """

    name: str
    announced_by: str
    index: Names
    size: Names
    local_index: Names
    local_size: Names = ()
    tasks_per_node: Names = ()
    node_index: Names = ()
    not_a_task: Names = ()


LAUNCHERS = (
    Launcher(  # mpirun of Open MPI 4 and 5, and what is built on it
        name="openmpi",
        announced_by="OMPI_COMM_WORLD_RANK",
        index=("OMPI_COMM_WORLD_RANK",),
        size=("OMPI_COMM_WORLD_SIZE",),
        local_index=("OMPI_COMM_WORLD_LOCAL_RANK",),
        local_size=("OMPI_COMM_WORLD_LOCAL_SIZE",),
    ),
    Launcher(  # mpiexec of MPICH, MVAPICH and Intel MPI (Hydra)
        name="mpich",
        announced_by="MPI_LOCALRANKID",
        index=("PMI_RANK",),
        size=("PMI_SIZE",),
        local_index=("MPI_LOCALRANKID",),
        local_size=("MPI_LOCALNRANKS",),
    ),
    Launcher(
        name="slurm",
        announced_by="SLURM_STEP_ID",
        index=("SLURM_PROCID",),
        size=("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"),  # inside a step both count the step's tasks
        local_index=("SLURM_LOCALID",),
        tasks_per_node=("SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"),
        node_index=("SLURM_NODEID",),
        # slurm.h: SLURM_BATCH_SCRIPT 0xfffffffb, SLURM_EXTERN_CONT …fc, SLURM_INTERACTIVE_STEP …fa
        not_a_task=("batch", "4294967291", "extern", "4294967292", "interactive", "4294967290"),
    ),
    Launcher(  # other PMI-1/PMI-2 launchers, among them HPE Cray's
        name="pmi",
        announced_by="PMI_RANK",
        index=("PMI_RANK",),
        size=("PMI_SIZE",),
        local_index=("PMI_LOCAL_RANK",),
        local_size=("PMI_LOCAL_SIZE",),
    ),
    Launcher(  # PMIx: most of its launchers set the rank only and keep the size inside their server
        name="pmix",
        announced_by="PMIX_RANK",
        index=("PMIX_RANK",),
        size=("PMIX_SIZE", "PMIX_JOB_SIZE"),
        local_index=("PMIX_LOCAL_RANK",),
        local_size=("PMIX_LOCAL_SIZE",),
    ),
)


def read_rank(environ: Mapping[str, str]) -> Rank:
    """The rank that `environ` describes; `ALONE` when no launcher announces itself.

    Raises `RankError`, naming the variable and its value, when the variables are incomplete, are not numbers
    or contradict each other.
    """
    launcher = find_launcher(environ)
    return ALONE if launcher is None else _read_as(launcher, environ)


def find_launcher(environ: Mapping[str, str]) -> Launcher | None:
    """The first row of `LAUNCHERS` that announces itself in `environ`.

    A process that has initialised Open MPI 4 without a launcher (Lightning does, to ask for the size of its
    world) leaves a PMIx rank in the environment of its children, which are as alone as it is.
    """
    is_of_a_singleton = environ.get("OMPI_MCA_ess") == "singleton"
    for launcher in LAUNCHERS:
        announcement = environ.get(launcher.announced_by)
        if launcher.name == "pmix" and is_of_a_singleton:
            continue
        if announcement is not None and announcement not in launcher.not_a_task:
            return launcher
    return None


def _read_as(launcher: Launcher, environ: Mapping[str, str]) -> Rank:
    index = _number(launcher, launcher.index, environ)
    size = _number(launcher, launcher.size, environ)
    local_index = _number(launcher, launcher.local_index, environ)
    local_size = _local_size(launcher, environ)
    try:
        return Rank(index, size, local_index, local_size, launcher.name)
    except RankError as error:
        raise RankError(f"{error} ({_said(launcher, environ)}). Unset them to run alone.") from None


def _local_size(launcher: Launcher, environ: Mapping[str, str]) -> int:
    if not launcher.tasks_per_node:
        return _number(launcher, launcher.local_size, environ)
    name, text = _lookup(launcher, launcher.tasks_per_node, environ)
    node = _number(launcher, launcher.node_index, environ)
    counts = _expand_tasks_per_node(name, text)
    if node >= len(counts):
        raise RankError(f"{launcher.node_index[0]}={node}, but {name}={text} names {len(counts)} nodes.")
    return counts[node]


def _expand_tasks_per_node(name: str, text: str) -> list[int]:
    """Slurm's compressed counts: «2(x3),1» is [2, 2, 2, 1] (sbatch(1), SLURM_TASKS_PER_NODE)."""
    counts: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part.strip())
        if match is None:
            raise RankError(f"{name}={text} is not Slurm's list of tasks per node, such as «2(x3),1».")
        counts += [int(match[1])] * int(match[2] or 1)
    return counts


def _number(launcher: Launcher, names: Names, environ: Mapping[str, str]) -> int:
    name, text = _lookup(launcher, names, environ)
    if not re.fullmatch(r"\d+", text):
        raise RankError(f"{name}={text!r} is not a whole number; {launcher.announced_by} says we are a rank.")
    return int(text)


def _lookup(launcher: Launcher, names: Names, environ: Mapping[str, str]) -> tuple[str, str]:
    for name in names:
        if name in environ:
            return name, environ[name]
    announced = f"{launcher.announced_by}={environ[launcher.announced_by]}"
    raise RankError(
        f"{announced} says that this process is a rank, but {' or '.join(names)} is not set. "
        f"Start it with mpirun or srun, or unset {launcher.announced_by} to run alone."
    )


def _said(launcher: Launcher, environ: Mapping[str, str]) -> str:
    names = launcher.index + launcher.size + launcher.local_index + launcher.local_size
    names += launcher.tasks_per_node + launcher.node_index
    return ", ".join(f"{name}={environ[name]}" for name in names if name in environ)
