"""A trial as plots see it: a stored trial and how to relabel it in, the same with labels for people out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

Labelled = tuple[dict[str, Any], dict[str, BaseDistribution]]  # parameters and distributions


class ShownTrial(FrozenTrial):
    """A stored trial whose parameters are relabelled when a plot asks for them: most plots need a few only.

    Its id is its number. User attributes are left out, as hover texts would repeat them. Read-only, so a copy
    is the trial itself.
    """

    def __init__(  # not FrozenTrial's: that checks and copies, and there may be 100,000 of these
        self,
        stored: FrozenTrial,
        values: list[float] | None,
        labelled: Callable[[FrozenTrial], Labelled],
    ) -> None:
        self._number = self._trial_id = stored.number
        self.state = stored.state
        self._values = values
        self._stored = stored
        self._labelled = labelled
        self._made: Labelled | None = None

    def _pair(self) -> Labelled:
        if self._made is None:
            self._made = self._labelled(self._stored)
        return self._made

    @property  # type: ignore[misc]
    def params(self) -> dict[str, Any]:
        """Parameter values by label."""
        return self._pair()[0]

    @property  # type: ignore[misc]
    def distributions(self) -> dict[str, BaseDistribution]:
        """Distributions by label."""
        return self._pair()[1]

    @property  # type: ignore[misc]
    def datetime_start(self) -> datetime | None:
        """As stored."""
        return self._stored.datetime_start

    @property
    def datetime_complete(self) -> datetime | None:  # type: ignore[override]
        """As stored."""
        return self._stored.datetime_complete

    @property
    def duration(self) -> timedelta | None:
        """As stored."""
        return self._stored.duration

    @property
    def intermediate_values(self) -> dict[int, float]:  # type: ignore[override]
        """As stored."""
        return self._stored.intermediate_values

    @property  # type: ignore[misc]
    def system_attrs(self) -> dict[str, Any]:
        """As stored."""
        return self._stored.system_attrs

    @property  # type: ignore[misc]
    def user_attrs(self) -> dict[str, Any]:
        """None."""
        return {}

    @property
    def constraints(self) -> dict[str, float]:
        """As stored."""
        return self._stored.constraints

    def at_place(self, place: int) -> ShownTrial:
        """The same trial with another number."""
        moved = ShownTrial(self._stored, self._values, self._labelled)
        moved._number = moved._trial_id = place
        return moved

    def __copy__(self) -> ShownTrial:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> ShownTrial:
        return self
