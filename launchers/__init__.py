"""How processes start: which rank am I, what may a worker inherit, and local processes, bound and awaited.

Knows nothing of trials, studies or frameworks. Imports `affinity` and the standard library only.
"""

from .allocation import Job, allocation_id, read_job
from .confinement import Confinement, read_confinement
from .descent import descendants, families, kill_all
from .environment import worker_environment
from .errors import JobScriptError, LauncherError, RankError, SlurmError, SpawnError
from .job_script import JobScript
from .lifeline import Warden
from .mpi_library import read_mpi_library
from .rank import ALONE, Rank, read_rank
from .slurm import JobState, cancel_jobs, read_job_states, submit_script
from .walltime import AllocationEnd, EndWatch, parse_time, read_allocation_end
from .worker import WorkerProcess, WorkerSpec, describe_exit, start_worker
from .world import World, join_world

__all__ = [
    "ALONE",
    "AllocationEnd",
    "Confinement",
    "EndWatch",
    "Job",
    "JobScript",
    "JobScriptError",
    "JobState",
    "LauncherError",
    "Rank",
    "RankError",
    "SlurmError",
    "SpawnError",
    "Warden",
    "WorkerProcess",
    "WorkerSpec",
    "World",
    "allocation_id",
    "cancel_jobs",
    "descendants",
    "describe_exit",
    "families",
    "join_world",
    "kill_all",
    "parse_time",
    "read_allocation_end",
    "read_confinement",
    "read_job",
    "read_job_states",
    "read_mpi_library",
    "read_rank",
    "start_worker",
    "submit_script",
    "worker_environment",
]
