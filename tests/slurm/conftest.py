"""What the tests of Slurm share: a cluster of their own, and a folder to submit from."""

from collections.abc import Iterator

import pytest

from tests.slurm.cluster import Cluster, missing_program


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Four nodes of eight CPUs on this machine, for the whole session."""
    missing = missing_program()
    if missing is not None:
        pytest.skip(f"Slurm: {missing} is not installed")
    started = Cluster()
    try:
        started.start()
        yield started
    finally:
        started.stop()
