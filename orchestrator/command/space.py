"""A search space: names and Optuna's distributions in; a trial's values, and a digest of the space, out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from orchestrator.errors import SpecError
from orchestrator.spec import is_text

_MAX_NAME = 512  # Optuna's column
_CHOICES = (str, int, float, bool, type(None))  # what Optuna stores


@dataclass(frozen=True, slots=True)
class Space:
    """The parameters of a search, in their order. Checked when made."""

    distributions: Mapping[str, BaseDistribution]

    def __post_init__(self) -> None:
        """Refuse what no command can be given; ``SpecError``."""
        if not self.distributions:
            raise SpecError("The search space has no parameters; give it at least one.")
        for name, distribution in self.distributions.items():
            _check_name(name)
            _check_distribution(name, distribution)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parameters."""
        return tuple(self.distributions)

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """A value for each parameter."""
        return {name: _suggest(trial, name, one) for name, one in self.distributions.items()}

    def digest(self) -> str:
        """Eight hexadecimal digits that change with the space, and not with the order of its parameters."""
        texts = {name: distribution_to_json(one) for name, one in self.distributions.items()}
        return hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()[:8]


def _suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Any:
    match distribution:
        case FloatDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_float(name, low, high, log=log, step=step)
        case IntDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_int(name, low, high, log=log, step=step)
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
    raise AssertionError(distribution)


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME or not is_text(name):
        raise SpecError(f"A parameter is named {name!r}; a name is text of 1 to {_MAX_NAME} characters.")


def _check_distribution(name: str, distribution: Any) -> None:
    if isinstance(distribution, CategoricalDistribution):
        for choice in distribution.choices:
            _check_choice(name, choice)
        _require_different(name, distribution.choices)
    elif not isinstance(distribution, FloatDistribution | IntDistribution):
        raise SpecError(
            f"Parameter '{name}' is {distribution!r}; it must be a FloatDistribution, an IntDistribution or "
            "a CategoricalDistribution of optuna.distributions."
        )


def _check_choice(name: str, choice: Any) -> None:
    if not isinstance(choice, _CHOICES):
        raise SpecError(
            f"Parameter '{name}': choice {choice!r} is a {type(choice).__name__}; choices are text, numbers, "
            "true and false."
        )
    if isinstance(choice, str) and ("\0" in choice or not is_text(choice)):
        raise SpecError(f"Parameter '{name}': choice {choice!r} is no text that a command can be given.")


def _require_different(name: str, choices: tuple[Any, ...]) -> None:
    """Optuna takes equal choices, also 1 and true, for the same."""
    for place, choice in enumerate(choices):
        if choice in choices[:place]:
            raise SpecError(f"Parameter '{name}': choice {choice!r} is there twice; name each once.")
