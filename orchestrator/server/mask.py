"""On which CPUs a server may run: this process's launcher in; a mask for its children out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from launchers import RankError, read_confinement, read_rank


@contextmanager
def mask_of_the_launcher() -> Iterator[None]:
    """Children of this block may run wherever ``mpirun`` may, not on the core alone that it bound us to.

    A mask that no MPI has set is the user's wish, or the share of a Slurm task, and stays.
    """
    pus = _launcher_pus()
    if pus is None:
        yield
        return
    own = os.sched_getaffinity(0)
    try:
        with suppress(OSError):  # none of them is left by the cpuset
            os.sched_setaffinity(0, pus)  # of this thread alone; its children inherit it
        yield
    finally:
        os.sched_setaffinity(0, own)


def _launcher_pus() -> tuple[int, ...] | None:
    try:
        return read_confinement(read_rank(os.environ), os.environ).pus
    except RankError:  # a run says so; a server needs no rank
        return None
