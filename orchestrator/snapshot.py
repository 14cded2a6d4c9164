"""One look at a run while it goes on, as people see it: built by an agent, or from the storage alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Best:
    """The best value so far of a study with one objective, its trial, and what that trial was made of."""

    number: int
    value: float
    params: Mapping[str, str] = field(default_factory=dict)  # as text, for people


def in_words(params: Mapping[str, Any]) -> dict[str, str]:
    """Parameters as people read them; a choice may be any object."""
    return {
        name: f"{value:.6g}" if isinstance(value, float) else str(value) for name, value in params.items()
    }


@dataclass(frozen=True, slots=True)
class BusySlot:
    """A slot with the trial that its worker is at."""

    slot: int
    host: str
    cpus: str  # its PUs as a kernel list, "0-3,8"
    number: int  # of the trial
    step: int | None  # last reported, as an epoch
    value: float | None  # reported with it
    age_s: float  # since the trial was claimed
    rank: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a run. Numbers of trials are those of the run, over all its agents and launches."""

    study: str
    total: int | None  # the budget; None: time ends the run
    finished: int
    states: Mapping[str, int]  # of finished trials by state, as far as they are known here
    running: Sequence[BusySlot]
    starting: int  # workers that load the objective or claim a trial
    n_slots: int
    best: Best | None = None
    rate_per_s: float | None = None  # of finished trials
    causes: Mapping[str, int] = field(default_factory=dict)  # why attempts failed or were lost, how often
    lost_attempts: int = 0
    time_left_s: float | None = None  # of the allocation, or of the launch's timeout; None: there is no end
    curve: Sequence[tuple[int, float]] = ()  # the best so far: trials finished by then, and its value
    several: bool = False  # there are other ranks: their trials are in the numbers, but not in ``running``

    @property
    def left(self) -> int | None:
        """What is left of the budget."""
        return None if self.total is None else max(0, self.total - self.finished)

    @property
    def eta_s(self) -> float | None:
        """Seconds until the budget is spent at this rate."""
        return self.left / self.rate_per_s if self.left and self.rate_per_s else None
