"""Why attempts end: one word each for the database and the program, and what it means for the trial."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """How an attempt at a trial ended. The text is what the database keeps and people read."""

    RETURNED = "returned"
    PRUNED = "pruned"
    RAISED = "raised"  # by the objective, or what it returned is no value
    TIMED_OUT = "timed out"  # over the time limit of a trial
    OVER_MEMORY = "over its memory limit"
    KILLED_FOR_MEMORY = "killed for memory"  # by the kernel's OOM killer
    SIGNAL = "killed by a signal"  # a crash, or somebody's kill
    EXITED = "ended its process"  # os._exit, or a library that does so
    NODE_LOST = "node lost"
    AGENT_LOST = "agent lost"
    DATABASE_LOST = "database lost"
    PREEMPTED = "preempted"  # the job's allocation ended
    INTERRUPTED = "interrupted"  # somebody stopped the run
    RELEASED = "released"  # the run ended otherwise: by its timeout, or because it failed
    FINISHED_ELSEWHERE = "finished elsewhere"  # by a program that is not ours

    @property
    def is_own_fault(self) -> bool:
        """Whether the trial has broken a limit: tried again it would break it again."""
        return self in (Cause.TIMED_OUT, Cause.OVER_MEMORY)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a worker has ended, or is ended by its agent."""

    cause: Cause
    detail: str


# By their texts, as the database has them.
SOUND = tuple(  # nobody needs to look at these
    map(str, (Cause.RETURNED, Cause.PRUNED, Cause.RELEASED, Cause.INTERRUPTED, Cause.PREEMPTED))
)
DEATHS = tuple(  # a worker died over the trial, and perhaps by it
    map(str, (Cause.SIGNAL, Cause.EXITED, Cause.KILLED_FOR_MEMORY))
)
COUNTED = (*DEATHS, str(Cause.NODE_LOST), str(Cause.AGENT_LOST))  # losses of a trial that are limited


def described(cause: str, detail: str = "") -> str:
    """Cause and what is known besides: «killed by a signal: SIGSEGV», «raised ValueError: no such layer»."""
    between = " " if cause == Cause.RAISED else ": "
    return f"{cause}{between}{detail}" if detail else cause
