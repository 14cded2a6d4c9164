"""Which trials a verb is about: parsed options in; a test of numbers, and the trials themselves, out."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, TrialState

    from orchestrator.chosen_trials import Choice
    from orchestrator.sql.database import Database

_STATES = {
    "complete": "COMPLETE",
    "pruned": "PRUNED",
    "failed": "FAIL",
    "fail": "FAIL",
    "running": "RUNNING",
    "waiting": "WAITING",
}
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


@dataclass(frozen=True, slots=True)
class Selection:
    """A choice of trials, and perhaps the best of them alone."""

    choice: Choice
    top: int | None = None

    @classmethod
    def of(cls, options: argparse.Namespace) -> Selection:
        """From the command line. Raises ``SpecError``."""
        from orchestrator.chosen_trials import Choice
        from orchestrator.errors import SpecError

        words = [word for word in options.which if word != "last"]
        last = 1 if len(words) < len(options.which) else options.last
        for name, value in (("--top", options.top), ("--last", last)):
            if value is not None and value < 1:
                raise SpecError(f"{name} is {value}; it must be 1 or more.")
        if last is not None and (words or options.top is not None):
            raise SpecError("The last trials are chosen by their age alone; leave numbers and --top out.")
        return cls(Choice(tuple(map(_range, words)), _states(options.state), last), options.top)

    def has(self, number: int) -> bool:
        """Whether the trial of that number may be meant, going by its number."""
        return not self.choice.ranges or any(number in one for one in self.choice.ranges)

    def read(self, database: Database, study_id: int) -> list[FrozenTrial]:
        """The trials, by number; with ``top`` the best first. Of several objectives ``SpecError`` for it."""
        from orchestrator.chosen_trials import best, chosen
        from orchestrator.errors import SpecError
        from orchestrator.storage.study_rows import directions_of

        if self.top is None:
            return chosen(database, study_id, self.choice)
        direction, *more = database.read(lambda c: directions_of(c, study_id))
        if more:
            raise SpecError("--top needs one objective; 'nano-hpo best' lists the Pareto front of several.")
        return best(database, study_id, direction, self.top, self.choice)


def _range(word: str) -> range:
    """``12`` or ``3-7``, both ends included."""
    from orchestrator.errors import SpecError

    found = _RANGE.fullmatch(word)
    numbers = range(int(found[1]), int(found[2] or found[1]) + 1) if found else range(0)
    if not numbers:  # 7-3 too
        raise SpecError(f"'{word}' names no trials; give numbers as 12 or 3-7, or 'last'.")
    return numbers


def _states(text: str | None) -> tuple[TrialState, ...]:
    from optuna.trial import TrialState

    from orchestrator.errors import SpecError
    from orchestrator.nearest import nearest

    words = [word.strip().lower() for word in text.split(",")] if text else []
    for word in words:
        if word not in _STATES:
            close = nearest(word, _STATES)
            hint = f"did you mean '{close}'?" if close else "choose from " + ", ".join(_STATES) + "."
            raise SpecError(f"--state: there is no state '{word}'; {hint}")
    return tuple(TrialState[_STATES[word]] for word in words)
