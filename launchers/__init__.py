"""How processes start: which rank am I, what may a worker inherit, and local processes, bound and awaited.

Knows nothing of trials, studies or frameworks. Imports `affinity` and the standard library only.
"""

from .allocation import allocation_id
from .confinement import Confinement, read_confinement
from .environment import worker_environment
from .errors import LauncherError, RankError, SpawnError
from .rank import ALONE, Rank, read_rank
from .worker import WorkerProcess, WorkerSpec, describe_exit, start_worker

__all__ = [
    "ALONE",
    "Confinement",
    "LauncherError",
    "Rank",
    "RankError",
    "SpawnError",
    "WorkerProcess",
    "WorkerSpec",
    "allocation_id",
    "describe_exit",
    "read_confinement",
    "read_rank",
    "start_worker",
    "worker_environment",
]
