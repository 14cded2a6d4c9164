"""Which of the processes of a launch is this one: for scripts behind ``mpirun`` or ``srun``."""

from __future__ import annotations

import os

from launchers import Rank, RankError, read_rank
from orchestrator.errors import SpecError


def rank() -> int:
    """The rank of this process, from 0; 0 where no launcher has started it.

    Every rank of a script gets the same result of a search; what is to be done once (print, save a model) is
    for rank 0. A trial's process is no rank of its own: it always says 0.

    Raises ``SpecError`` when the launcher's variables contradict each other.
    """
    return this_rank().index


def is_rank_zero() -> bool:
    """Whether this is rank 0, or the only process."""
    return rank() == 0


def this_rank() -> Rank:
    """This process among the ranks of its launch, by the environment; ``SpecError`` as in :func:`rank`."""
    try:
        return read_rank(os.environ)
    except RankError as error:
        raise SpecError(str(error)) from error
