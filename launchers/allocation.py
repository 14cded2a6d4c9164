"""Environment variables in, the Slurm job out: names that a requeue does not change."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Job", "allocation_id", "read_job"]


@dataclass(frozen=True, slots=True)
class Job:
    """The Slurm job that this process belongs to. A requeued one keeps its ids (sbatch(1), --requeue).

    ``array_id`` is what all tasks of a job array share, and ``task`` the task's own number; a single job has
    no task. ``restarts`` counts how often it was requeued.
    """

    array_id: str
    task: str | None = None
    cluster: str = ""
    restarts: int = 0

    @property
    def name(self) -> str:
        """As Slurm itself names it: ``1234``, or ``1200_3`` for task 3 of array 1200."""
        return self.array_id if self.task is None else f"{self.array_id}_{self.task}"


def read_job(environ: Mapping[str, str]) -> Job | None:
    """The job that ``environ`` tells of, ``None`` outside of one (the variables are those of sbatch(1))."""
    job_id = environ.get("SLURM_JOB_ID") or environ.get("SLURM_JOBID")
    if not job_id:
        return None
    array_id = environ.get("SLURM_ARRAY_JOB_ID")
    restarts = environ.get("SLURM_RESTART_COUNT", "0")
    return Job(
        array_id=array_id or job_id,
        task=environ.get("SLURM_ARRAY_TASK_ID") if array_id else None,
        cluster=environ.get("SLURM_CLUSTER_NAME", ""),
        restarts=int(restarts) if restarts.isdigit() else 0,
    )


def allocation_id(environ: Mapping[str, str]) -> str | None:
    """The id that all tasks of a job array share, or that of a single job; ``None`` outside of Slurm."""
    job = read_job(environ)
    return job.array_id if job is not None else None
