"""Where a build takes its parameters from: a trial, stored parameters, the defaults, or chance."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.names import shown_name

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

    from bigdl.nano.automl.hpo.parameter import Parameter


_OTHER_CHOICES = "does not support dynamic value space"  # Optuna's words


class TrialValues:
    """An Optuna trial suggests each parameter that a build asks for, and no other."""

    def __init__(self, trial: BaseTrial) -> None:
        self._trial = trial

    def value(self, name: str, parameter: Parameter) -> Any:
        """Suggest it. ``ValueError``: in earlier trials of the study it had other choices."""
        try:
            return parameter.suggest(self._trial, name)
        except ValueError as error:
            if _OTHER_CHOICES not in str(error):
                raise
            raise ValueError(
                f"'{shown_name(name)}' had other choices than {parameter} in earlier trials; Optuna keeps "
                "the choices of a study; search under another study_name, or without resume"
            ) from None


class StoredValues:
    """Parameters as they were stored. ``ValueError`` when the recipe asks for others, or other choices."""

    def __init__(self, params: Mapping[str, Any], whose: str = "These parameters") -> None:
        self._params = params
        self._whose = whose

    def value(self, name: str, parameter: Parameter) -> Any:
        """Look it up."""
        if name not in self._params:
            raise ValueError(f"{self._whose}: there is no '{shown_name(name)}'; the model was changed since.")
        value = self._params[name]
        if not parameter.accepts(value):
            raise ValueError(
                f"{self._whose}: '{shown_name(name)}' is {value!r}, and {parameter} has no such value; the "
                "model was changed since."
            )
        return value


class DefaultValues:
    """The default of every parameter."""

    def value(self, name: str, parameter: Parameter) -> Any:
        """Its default."""
        return parameter.initial


class RandomValues:
    """Uniform draws (in the logarithm where a space says so)."""

    def __init__(self, seed: int | None = None) -> None:
        self._rng = random.Random(seed)

    def value(self, name: str, parameter: Parameter) -> Any:
        """Draw it."""
        return parameter.draw(self._rng)
