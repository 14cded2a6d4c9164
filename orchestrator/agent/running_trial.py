"""The trial that a worker is at: what the worker says of it in; its time, and what is not stored yet, out."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class RunningTrial:
    """The trial that a worker is at, as far as it has said."""

    number: int
    trial_id: int
    token: str
    since_s: float  # time.monotonic()
    cpu_before_s: float = 0.0  # CPU time of its worker when it began
    waited_s: float = 0.0  # for the database
    waits_since_s: float | None = None
    step: int | None = None
    value: float | None = None
    params: Mapping[str, Any] = field(default_factory=dict)  # sampled, perhaps not yet suggested
    suggested: dict[str, tuple[float, str]] = field(default_factory=dict)  # perhaps not yet stored
    suggested_s: float = math.inf  # when the first of them came

    def waits(self, is_waiting: bool) -> None:
        """It begins, or ends, to wait for the database."""
        if self.waits_since_s is not None:
            self.waited_s += time.monotonic() - self.waits_since_s
        self.waits_since_s = time.monotonic() if is_waiting else None

    @property
    def ran_s(self) -> float:
        """Seconds since its claim, without those that it has waited for the database."""
        now_s = time.monotonic()
        waits_s = 0.0 if self.waits_since_s is None else now_s - self.waits_since_s
        return now_s - self.since_s - self.waited_s - waits_s

    def hear_of(self, name: str, internal: float, distribution: str) -> None:
        """A parameter was suggested that the worker has not stored."""
        self.suggested[name] = (internal, distribution)
        self.suggested_s = min(self.suggested_s, time.monotonic())

    def are_stored(self, names: Iterable[str]) -> None:
        """These parameters are in the database, or will never be."""
        for name in names:
            self.suggested.pop(name, None)
        self.suggested_s = time.monotonic() if self.suggested else math.inf
