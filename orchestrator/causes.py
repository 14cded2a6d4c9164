"""Why attempts end: one word each for the database and the program, and what it means for the trial."""

from __future__ import annotations

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
    def is_sound(self) -> bool:
        """Whether nobody needs to look at it."""
        return self in _SOUND

    @property
    def is_own_fault(self) -> bool:
        """Whether the trial has broken a limit: tried again it would break it again."""
        return self in (Cause.TIMED_OUT, Cause.OVER_MEMORY)

    @property
    def is_death(self) -> bool:
        """Whether a worker died over it, and perhaps by it."""
        return self in _DEATHS

    @property
    def counts(self) -> bool:
        """Whether it speaks, if only a little, against the trial: such losses are limited."""
        return self in _DEATHS or self in (Cause.NODE_LOST, Cause.AGENT_LOST)


_SOUND = (Cause.RETURNED, Cause.PRUNED, Cause.RELEASED, Cause.INTERRUPTED, Cause.PREEMPTED)
_DEATHS = (Cause.SIGNAL, Cause.EXITED, Cause.KILLED_FOR_MEMORY)
DEATHS = tuple(map(str, _DEATHS))
COUNTED = tuple(str(cause) for cause in Cause if cause.counts)
SOUND = tuple(map(str, _SOUND))


def described(cause: str, detail: str = "") -> str:
    """Cause and what is known besides: «killed by a signal: SIGSEGV», «raised ValueError: no such layer»."""
    between = " " if cause == Cause.RAISED else ": "
    return f"{cause}{between}{detail}" if detail else cause
