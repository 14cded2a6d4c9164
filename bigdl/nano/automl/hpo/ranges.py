"""Spaces of numbers and of truth values: ``Real``, ``Int``, ``Bool``."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

from bigdl.nano.automl.hpo.basis import SimpleSpace
from bigdl.nano.automl.hpo.config_space import (
    categorical_hyperparameter,
    float_hyperparameter,
    integer_hyperparameter,
)

if TYPE_CHECKING:
    from optuna.trial import BaseTrial


class Real(SimpleSpace):
    """Numbers from ``lower`` to ``upper``, both included; with ``log`` on a logarithmic scale."""

    def __init__(
        self,
        lower: float,
        upper: float,
        default: float | None = None,
        log: bool = False,
        prefix: str | None = None,
    ) -> None:
        super().__init__(prefix)
        self.lower, self.upper, self.log = _number(lower, "lower"), _number(upper, "upper"), log
        _check_range(self)
        self._default = self.lower if default is None else _number(default, "default")
        if not self.accepts(self._default):
            raise ValueError(f"The default {default} is not in {self}.")

    @property
    def initial(self) -> float:
        """The default; ``lower`` if none was given."""
        return self._default

    def suggest(self, trial: BaseTrial, name: str) -> float:
        """Ask an Optuna trial for it."""
        return trial.suggest_float(name, self.lower, self.upper, log=self.log)

    def draw(self, rng: random.Random) -> float:
        """A value by chance."""
        if not self.log:
            return rng.uniform(self.lower, self.upper)
        drawn = math.exp(rng.uniform(math.log(self.lower), math.log(self.upper)))
        return min(max(drawn, self.lower), self.upper)

    def accepts(self, value: Any) -> bool:
        """Whether it is in the range."""
        return _is_number(value) and self.lower <= value <= self.upper

    def hyperparameter(self, name: str, prefix: str | None) -> Any:
        """ConfigSpace's hyperparameter for it."""
        return float_hyperparameter(self, name, prefix)

    def __repr__(self) -> str:
        return f"Real({self.lower:g}, {self.upper:g}{', log=True' if self.log else ''})"


class Int(SimpleSpace):
    """Whole numbers ``lower``, ``lower + step`` … up to ``upper``; with ``log`` drawn in the logarithm."""

    def __init__(
        self,
        lower: int,
        upper: int,
        default: int | None = None,
        log: bool = False,
        prefix: str | None = None,
        *,
        step: int = 1,
    ) -> None:
        super().__init__(prefix)
        self.lower, self.upper, self.log = _whole(lower, "lower"), _whole(upper, "upper"), log
        self.step = _whole(step, "step")
        _check_range(self)
        if self.step < 1 or (log and self.step != 1):
            raise ValueError(f"step is {step}; it must be 1 or more, and 1 with log=True.")
        self._default = self.lower if default is None else _whole(default, "default")
        if not self.accepts(self._default):
            raise ValueError(f"The default {default} is not in {self}.")

    @property
    def initial(self) -> int:
        """The default; ``lower`` if none was given."""
        return self._default

    @property
    def last(self) -> int:
        """The largest number of the space: ``upper`` need not be a whole number of steps away."""
        return self.lower + (self.upper - self.lower) // self.step * self.step

    def suggest(self, trial: BaseTrial, name: str) -> int:
        """Ask an Optuna trial for it."""
        return trial.suggest_int(name, self.lower, self.last, step=self.step, log=self.log)

    def draw(self, rng: random.Random) -> int:
        """A value by chance."""
        if not self.log:
            return rng.randrange(self.lower, self.last + 1, self.step)
        drawn = math.exp(rng.uniform(math.log(self.lower), math.log(self.upper)))
        return min(max(round(drawn), self.lower), self.upper)

    def accepts(self, value: Any) -> bool:
        """Whether it is one of the numbers."""
        in_range = _is_number(value) and self.lower <= value <= self.upper
        return in_range and (value - self.lower) % self.step == 0

    def hyperparameter(self, name: str, prefix: str | None) -> Any:
        """ConfigSpace's hyperparameter for it."""
        return integer_hyperparameter(self, name, prefix)

    def __repr__(self) -> str:
        how = ", log=True" if self.log else f", step={self.step}" if self.step != 1 else ""
        return f"Int({self.lower}, {self.upper}{how})"


class Bool(SimpleSpace):
    """True or False."""

    def __init__(self, default: bool = False, prefix: str | None = None) -> None:
        super().__init__(prefix)
        if not isinstance(default, bool):
            raise ValueError(f"The default {default!r} is not in {self}.")
        self._default = default

    @property
    def initial(self) -> bool:
        """The default; False if none was given."""
        return self._default

    def suggest(self, trial: BaseTrial, name: str) -> bool:
        """Ask an Optuna trial for it."""
        return bool(trial.suggest_categorical(name, [False, True]))

    def draw(self, rng: random.Random) -> bool:
        """A value by chance."""
        return rng.random() < 0.5

    def accepts(self, value: Any) -> bool:
        """Whether it is a boolean."""
        return isinstance(value, bool)

    def hyperparameter(self, name: str, prefix: str | None) -> Any:
        """ConfigSpace's hyperparameter for it."""
        return categorical_hyperparameter([False, True], self._default, name, prefix)

    def __repr__(self) -> str:
        return "Bool()"


def _number(value: Any, what: str) -> float:
    if not _is_number(value) or not math.isfinite(value):
        raise ValueError(f"{what} is {value!r}; it must be a finite number.")
    return float(value)


def _whole(value: Any, what: str) -> int:
    if not _is_number(value) or not math.isfinite(value) or value != int(value):
        raise ValueError(f"{what} is {value!r}; it must be a whole number.")
    return int(value)


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, bool | str) and float(value) == value
    except (TypeError, ValueError, OverflowError):
        return False


def _check_range(space: Real | Int) -> None:
    if space.lower > space.upper:
        raise ValueError(f"lower is {space.lower:g}, upper is {space.upper:g}; lower must not be larger.")
    if space.log and space.lower <= 0:
        raise ValueError(f"lower is {space.lower:g}; with log=True it must be more than 0.")
