"""A finished trial as it lies in the database: what every trial has at once, the rest when asked for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

Times = tuple[datetime | None, datetime | None]  # naive UTC: start and end
PARTS = ("params", "user_attrs", "system_attrs", "intermediate_values")


class Source(Protocol):
    """Who can read what a :class:`StoredTrial` does not hold yet."""

    def fetch(self, trial: StoredTrial, part: str) -> None:
        """Read one of :data:`PARTS` for a trial, and perhaps for its neighbours: each ``learn``\\ s it."""


class StoredTrial(FrozenTrial):
    """Optuna's ``FrozenTrial`` of a finished trial, which changes no more.

    Identity, state, times and values are there at once; parameters, attributes and intermediate values are
    read from the database when somebody asks, and then kept. Times are stored as naive UTC and given out as
    naive local time, as Optuna's RDB storage does. Copies and pickles are complete plain ``FrozenTrial``\\ s.

    Optuna 4 stored naive *local* time, and no row says which version wrote it (``version_info`` names the one
    that set the database up or last upgraded it). Such trials are shown as Optuna 5 shows them, off by their
    writer's distance from UTC; see :attr:`duration` for what is right all the same.
    """

    def __init__(  # not FrozenTrial's: that checks and copies, and there may be 100,000 of these
        self,
        trial_id: int,
        number: int,
        state: TrialState,
        utc: Times,
        values: list[float] | None,
        is_constrained: bool,
        pruned_at: int | None,
        source: Source,
    ) -> None:
        self._trial_id = trial_id
        self._number = number
        self.state = state
        self._utc = utc
        self._values = values
        self._is_constrained = is_constrained
        self.pruned_at = pruned_at  # the last step that a pruned trial reported
        self._source = source
        self._parts: dict[str, Any] | None = None

    def learn(self, part: str, content: Any) -> None:
        """Keep what was read; None stands for nothing there."""
        if self._parts is None:
            self._parts = {}
        self._parts[part] = content

    def knows(self, part: str) -> bool:
        """Whether that was read already."""
        return self._parts is not None and part in self._parts

    def _part(self, part: str) -> Any:
        if not self.knows(part):
            self._source.fetch(self, part)
        assert self._parts is not None
        return self._parts[part]

    @property
    def params(self) -> dict[str, Any]:
        """Parameter values by name."""
        pair = self._part("params")
        return {} if pair is None else pair[0]

    @params.setter
    def params(self, value: dict[str, Any]) -> None:
        self.learn("params", (value, self.distributions))

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Distributions by parameter name."""
        pair = self._part("params")
        return {} if pair is None else pair[1]

    @distributions.setter
    def distributions(self, value: dict[str, BaseDistribution]) -> None:
        self.learn("params", (self.params, value))

    @property
    def user_attrs(self) -> dict[str, Any]:
        """The user's attributes."""
        return self._part("user_attrs") or {}

    @user_attrs.setter
    def user_attrs(self, value: dict[str, Any]) -> None:
        self.learn("user_attrs", value)

    @property
    def system_attrs(self) -> dict[str, Any]:
        """Optuna's attributes, and those of ours."""
        return self._part("system_attrs") or {}

    @system_attrs.setter
    def system_attrs(self, value: Any) -> None:
        self.learn("system_attrs", value)

    @property
    def intermediate_values(self) -> dict[int, float]:
        """Reported values by step."""
        return self._part("intermediate_values") or {}

    @intermediate_values.setter
    def intermediate_values(self, value: dict[int, float]) -> None:
        self.learn("intermediate_values", value)

    @property
    def constraints(self) -> dict[str, float]:
        """Constraint values by name; most studies have none, and then nothing is read."""
        return super().constraints if self._is_constrained else {}

    @property
    def datetime_start(self) -> datetime | None:
        """Naive local time."""
        return local(self._utc[0])

    @datetime_start.setter
    def datetime_start(self, value: datetime | None) -> None:
        self._utc = (utc(value), self._utc[1])

    @property
    def datetime_complete(self) -> datetime | None:
        """Naive local time."""
        return local(self._utc[1])

    @datetime_complete.setter
    def datetime_complete(self, value: datetime | None) -> None:
        self._utc = (self._utc[0], utc(value))

    @property
    def duration(self) -> timedelta | None:
        """From start to end as they are stored, so that a change of the clocks between them does no harm.

        Right for trials of Optuna 5 and of ours, and for those of Optuna 4 unless the clocks of its zone were
        changed meanwhile. None where the end comes before the start: a trial that Optuna 4 began east of
        Greenwich and Optuna 5 ended. West of it such a trial seems too long, which nothing gives away.
        """
        start, complete = self._utc
        if start is None or complete is None or complete < start:
            return None
        return complete - start

    def whole(self) -> FrozenTrial:
        """A plain and complete ``FrozenTrial``."""
        return FrozenTrial(**self._fields())

    def _fields(self) -> dict[str, Any]:
        return {
            "number": self._number,
            "state": self.state,
            "value": None,
            "values": self._values,
            "datetime_start": self.datetime_start,
            "datetime_complete": self.datetime_complete,
            "params": self.params,
            "distributions": dict(self.distributions),
            "user_attrs": self.user_attrs,
            "system_attrs": self.system_attrs,
            "intermediate_values": self.intermediate_values,
            "trial_id": self._trial_id,
        }

    def __reduce__(self) -> tuple[Callable[..., FrozenTrial], tuple[Any, ...]]:
        return _plain, (self._fields(),)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FrozenTrial):
            return NotImplemented
        theirs = other.whole() if isinstance(other, StoredTrial) else other
        return bool(self.whole() == theirs)

    def __hash__(self) -> int:
        return hash((self._trial_id, self._number, self.state))

    def __repr__(self) -> str:
        return repr(self.whole())


def _plain(fields: dict[str, Any]) -> FrozenTrial:
    return FrozenTrial(**fields)


def local(moment: datetime | None) -> datetime | None:
    """Naive UTC as naive local time."""
    return None if moment is None else moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


def utc(moment: datetime | None) -> datetime | None:
    """Naive local time as naive UTC."""
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None)
