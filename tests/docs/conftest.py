"""The Slurm cluster of ``tests/slurm`` for pages that submit jobs."""

from tests.slurm.conftest import cluster

__all__ = ["cluster"]
