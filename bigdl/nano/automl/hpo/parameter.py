"""One parameter of a study, as a search space defines it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from optuna.trial import BaseTrial


class Parameter(Protocol):
    """One parameter of a study, as a space defines it: a number, a boolean or a choice."""

    created: int  # definitions in their order
    defined_at: str  # file and line

    @property
    def initial(self) -> Any:
        """The default, as it is stored."""

    def suggest(self, trial: BaseTrial, name: str) -> Any:
        """Ask an Optuna trial for it."""

    def draw(self, rng: random.Random) -> Any:
        """A value by chance, as it is stored."""

    def accepts(self, value: Any) -> bool:
        """Whether it is a value of this space, as it is stored."""

    def hyperparameter(self, name: str, prefix: str | None) -> Any:
        """ConfigSpace's hyperparameter for it."""
