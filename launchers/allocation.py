"""Environment variables in, the id of the allocation out: a name that a requeue does not change."""

from collections.abc import Mapping

__all__ = ["allocation_id"]


def allocation_id(environ: Mapping[str, str]) -> str | None:
    """The id of the Slurm job this process belongs to, `None` outside of one.

    All tasks of a job array share one id, that of the array (`SLURM_ARRAY_JOB_ID`); a requeued job keeps its
    own (sbatch(1), --requeue), so the same command continues its run.
    """
    return environ.get("SLURM_ARRAY_JOB_ID") or environ.get("SLURM_JOB_ID") or None
