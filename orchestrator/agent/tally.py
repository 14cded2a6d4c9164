"""The running count of a run as its agent hears it: what workers tell in, numbers for people out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.causes import Cause
from orchestrator.snapshot import Best

_ALIKE = 5  # so many first trials failing with one kind of error end the run
_IMPROVEMENTS = 500  # that are kept for the curve


@dataclass(slots=True)
class Tally:
    """Finished trials of the run (all agents), outcomes heard by this agent, the best so far."""

    finished: int = 0
    before: int = 0  # finished by earlier launches of the run
    states: Counter[str] = field(default_factory=Counter)
    lost_attempts: int = 0
    causes: Counter[str] = field(default_factory=Counter)  # of failed and of lost attempts
    best: Best | None = None
    curve: list[tuple[int, float]] = field(default_factory=list)  # trials finished, best value by then
    minimize: bool = True
    start_s: float = field(default_factory=time.monotonic)
    first_errors: list[str] = field(default_factory=list)

    def begin(self, finished: int, best: tuple[Best | None, bool]) -> None:
        """The run was joined with so many trials finished."""
        self.finished = self.before = finished
        self.minimize = best[1]
        self.saw_best(best[0])
        self.start_s = time.monotonic()

    def told(self, data: Mapping[str, Any]) -> None:
        """A worker has finished a trial."""
        self.finished += 1
        self.states[data["state"]] += 1
        self._note_error(data["error"])
        self.causes[str(Cause.RAISED)] += bool(data["error"])
        values = data["values"]
        if data["state"] == "COMPLETE" and len(values) == 1:
            self.saw_best(Best(data["number"], values[0], data.get("params", {})))

    def saw_best(self, one: Best | None) -> None:
        """There is such a trial; it may be better than the best known."""
        if one is None or not self._is_better(one.value):
            return
        self.best = one
        self.curve.append((self.finished, one.value))
        if len(self.curve) > _IMPROVEMENTS:
            del self.curve[1::2]

    def _is_better(self, value: float) -> bool:
        if self.best is None:
            return True
        return value < self.best.value if self.minimize else value > self.best.value

    def lost(self, happened: str, why: str, cause: str) -> None:
        """A worker died with a trial, which was "returned" or "failed" for good."""
        self.lost_attempts += 1
        self.causes[cause] += 1
        if happened == "failed":
            self.finished += 1
            self.states["FAIL"] += 1
            self._note_error(why)

    def _note_error(self, text: str) -> None:
        if len(self.first_errors) < _ALIKE:
            self.first_errors.append(text)

    def all_fail_alike(self) -> str | None:
        """Why it makes no sense to go on: the first trials all failed with one kind of error."""
        kinds = {error.partition(":")[0] for error in self.first_errors}
        if len(self.first_errors) < _ALIKE or len(kinds) != 1 or "" in kinds:
            return None
        return f"{_ALIKE} trials all failed alike ({self.first_errors[0][:300]})"

    def numbers(self) -> dict[str, Any]:
        """What a ``Snapshot`` takes from here."""
        return {
            "finished": self.finished,
            "states": self.states,
            "best": self.best,
            "rate_per_s": self.rate_per_s,
            "causes": self.causes,
            "lost_attempts": self.lost_attempts,
            "curve": self.curve,
        }

    @property
    def rate_per_s(self) -> float | None:
        """Finished trials per second of this launch; None before the first."""
        done = self.finished - self.before
        elapsed_s = time.monotonic() - self.start_s
        return done / elapsed_s if done and elapsed_s > 0 else None
