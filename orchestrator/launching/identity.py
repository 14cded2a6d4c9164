"""Which run a launch within a Slurm job means: job, study and earlier searches in; ids of runs out.

A job that is requeued, and every task of a job array, comes to the same ids, so it continues or joins a run
without being told. A job may search the same study several times: its runs are numbered.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from launchers import Job
from orchestrator.spec import MAX_RUN_ID

_NUMBER = 8  # characters that the number of a run may take
_searches: Counter[str] = Counter()  # of each study by this process


@dataclass(frozen=True, slots=True)
class JobIdentity:
    """The ids that a launch may have in its job, from ``first`` on.

    ``repeats``: others do, or did, the same, so a run that is finished is the one that is meant. Otherwise
    the same command has simply been typed again.
    """

    base: str
    first: int
    repeats: bool

    def ids(self) -> Iterator[str]:
        """Of the first, second, … run, without end."""
        return (self.base if number == 1 else f"{self.base}-{number}" for number in count(self.first))


def identity_in(job: Job, study_name: str) -> JobIdentity:
    """That of this process's next search of the study; each call counts as one."""
    words = ("slurm", *([job.cluster] if job.cluster else []), job.array_id, study_name)
    base = _cut("-".join(words), MAX_RUN_ID - _NUMBER)
    _searches[base] += 1
    return JobIdentity(base, _searches[base], repeats=job.task is not None or job.restarts > 0)


def _cut(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    digest = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:12]
    return f"{text[: length - 13]}-{digest}"
