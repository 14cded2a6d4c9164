"""How processes start: which rank am I, what may a worker inherit, and local processes, bound and awaited.

Knows nothing of trials, studies or frameworks. Imports `affinity` and the standard library only.
"""

from .allocation import allocation_id
from .confinement import Confinement, read_confinement
from .descent import descendants, families, kill_all
from .environment import worker_environment
from .errors import LauncherError, RankError, SpawnError
from .lifeline import Warden
from .rank import ALONE, Rank, read_rank
from .worker import WorkerProcess, WorkerSpec, describe_exit, start_worker

__all__ = [
    "ALONE",
    "Confinement",
    "LauncherError",
    "Rank",
    "RankError",
    "SpawnError",
    "Warden",
    "WorkerProcess",
    "WorkerSpec",
    "allocation_id",
    "descendants",
    "describe_exit",
    "families",
    "kill_all",
    "read_confinement",
    "read_rank",
    "start_worker",
    "worker_environment",
]
