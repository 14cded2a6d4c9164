"""What a study consists of while it is carried: plain data in the exact form of the tables.

Parameters stay in Optuna's internal form, attributes and distributions stay the JSON texts that Optuna wrote:
nothing is made of them and turned back, so nothing is lost on the way. Ids are left behind, they mean nothing
elsewhere; numbers are kept. Times are naive UTC.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import TrialState

from orchestrator.sql.schema import agents, attempts, runs

Attributes = Mapping[str, str]  # JSON texts by key
Row = Mapping[str, Any]  # of a table of ours, by column

RUN_COLUMNS = tuple(column for column in runs.columns if column.name != "study_id")
AGENT_COLUMNS = tuple(column for column in agents.columns if column.name not in ("run_id", "heartbeat_s"))
ATTEMPT_COLUMNS = tuple(column for column in attempts.columns if column.name not in ("token", "trial_id"))


@dataclass(frozen=True, slots=True)
class StudyHead:
    """The study itself."""

    name: str
    directions: tuple[StudyDirection, ...]
    user_attrs: Attributes
    system_attrs: Attributes
    n_trials: int  # that follow
    taken: datetime  # when the study was read
    optuna: str | None  # the version that set the database up


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of a trial."""

    name: str
    internal: float
    distribution: str  # Optuna's JSON text


@dataclass(frozen=True, slots=True)
class TrialPart:
    """One trial, with the attempts of our workers at it."""

    number: int
    state: TrialState
    start: datetime | None
    complete: datetime | None
    values: tuple[float, ...]
    params: tuple[Param, ...]
    reported: tuple[tuple[int, float], ...]  # step and intermediate value
    user_attrs: Attributes
    system_attrs: Attributes
    attempts: tuple[Row, ...]  # ATTEMPT_COLUMNS


@dataclass(frozen=True, slots=True)
class RunPart:
    """One launch of ours on the study, with its agents."""

    run: Row  # RUN_COLUMNS
    agents: tuple[Row, ...]  # AGENT_COLUMNS


Parts = Iterator[TrialPart | RunPart]  # the trials in order of their numbers, then the runs
