"""Search spaces: what a hyperparameter may be.

    Real(1e-4, 1e-2, log=True)      Int(8, 64, step=8)      Bool()
    Categorical("relu", "tanh")     Categorical(Dense(units=Int(8, 64)), LSTM(units=Int(4, 32)))
    List(Int(1, 3), Real(0, 1))     Dict(units=Int(8, 64), rate=Real(0, 0.5))

A space is given in place of a value. Its parameter is named by the argument that it is given for; a
``prefix`` parts spaces for arguments of one name (``dense_1:units``). Without one they share a parameter,
and the space that was defined last counts for all of them.
"""

from __future__ import annotations

import itertools
import math
import numbers
import operator
import random
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from bigdl.nano.automl.hpo.lazy import ROOT, Build, Lazy, Place, is_lazy, walk
from bigdl.nano.automl.hpo.naming import CHOICE, SPLITTER, calling_place, parameter_name
from bigdl.nano.automl.hpo.values import DefaultValues, RandomValues, StoredValues, TrialValues

if TYPE_CHECKING:
    from ConfigSpace import ConfigurationSpace
    from optuna.trial import BaseTrial

__all__ = [
    "SPLITTER",
    "Bool",
    "Categorical",
    "Dict",
    "Int",
    "List",
    "NestedSpace",
    "Real",
    "SimpleSpace",
    "Space",
]

_created = itertools.count()


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


class Space(Lazy):
    """The base of all spaces."""

    def __init__(self, prefix: str | None = None) -> None:
        if prefix is not None and not (isinstance(prefix, str) and prefix):
            raise ValueError(f"prefix is {prefix!r}; it must be a text that is not empty.")
        self.prefix = prefix
        self.created = next(_created)
        self.defined_at = calling_place()

    @property
    def default(self) -> Any:
        """A value: the default of everything in it."""
        return Build(DefaultValues()).resolve(self)

    @property
    def rand(self) -> Any:
        """A value by chance."""
        return Build(RandomValues()).resolve(self)

    @property
    def cs(self) -> ConfigurationSpace:
        """The same as ConfigSpace's object, conditions included; needs the package ConfigSpace."""
        from bigdl.nano.automl.hpo.config_space import configuration_space

        return configuration_space(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return object.__new__, (type(self),), self.__dict__


class SimpleSpace(Space):
    """A space of one parameter."""

    @property
    @abstractmethod
    def initial(self) -> Any:
        """The default."""

    @property
    def default(self) -> Any:
        """The default."""
        return self.initial

    @abstractmethod
    def draw(self, rng: random.Random) -> Any:
        """A value by chance."""

    @abstractmethod
    def hyperparameter(self, name: str, prefix: str | None) -> Any:
        """ConfigSpace's hyperparameter for it."""

    def get_hp(self, name: str) -> Any:
        """ConfigSpace's hyperparameter of that name; needs the package ConfigSpace."""
        return self.hyperparameter(name, self.prefix)

    def resolve(self, build: Build, place: Place) -> Any:
        """The value of the parameter."""
        name = self.parameter_at(place)
        return build.values.value(name, build.definition(name, self))  # type: ignore[arg-type]

    def parts(self, place: Place) -> Iterator[tuple[Any, Place]]:
        """None."""
        return iter(())

    def parameter_at(self, place: Place) -> str:
        """The name of its parameter."""
        here = place.under(self.prefix)
        return parameter_name(here.path, here.prefix)


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
        from bigdl.nano.automl.hpo.config_space import float_hyperparameter

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
        from bigdl.nano.automl.hpo.config_space import integer_hyperparameter

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
        from bigdl.nano.automl.hpo.config_space import categorical_hyperparameter

        return categorical_hyperparameter([False, True], self._default, name, prefix)

    def __repr__(self) -> str:
        return "Bool()"


class NestedSpace(Space):
    """A space with spaces in it; a prefix holds for all of them that have none of their own."""

    def from_trial(self, trial: BaseTrial) -> Any:
        """The value for an Optuna trial, which suggests each parameter: for objectives of one's own."""
        from bigdl.nano.automl.hpo.sharing import last_definitions

        return Build(TrialValues(trial), last_definitions(self)).resolve(self)

    def sample(self, **config: Any) -> Any:
        """The value for parameters by name, as ``cs`` names them."""
        plain = Place(prefix=None)
        return Build(_Unprefixed(config)).resolve(self, plain)


class _Unprefixed(StoredValues):
    """Parameters named without prefixes, as ConfigSpace has them; its values are numpy's."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(
            {name: value.item() if hasattr(value, "item") else value for name, value in config.items()}
        )

    def value(self, name: str, parameter: Parameter) -> Any:
        return super().value(name.rpartition(":")[2], parameter)


class Categorical(NestedSpace):
    """One of several things: plain values, layers, or spaces, of which only the chosen one is sampled.

    Plain values (text, numbers, booleans, None) are stored as they are, if they all are plain; else what is
    stored is a short text for each choice.
    """

    def __init__(self, *data: Any, prefix: str | None = None, default: Any = None) -> None:
        super().__init__(prefix)
        if not data:
            raise ValueError("A Categorical needs at least one choice.")
        self.data = list(data)
        self.labels = _labels(self.data)
        self._default = 0 if default is None else self._index_of(default)

    def _index_of(self, value: Any) -> int:
        for fits in (operator.is_, _are_equal):
            for index, choice in enumerate(self.data):
                if fits(choice, value):
                    return index
        raise ValueError(f"The default {value!r} is not in {self}.")

    @property
    def initial(self) -> Any:
        """The label of the default, the first choice if none was given."""
        return self.labels[self._default]

    def suggest(self, trial: BaseTrial, name: str) -> Any:
        """Ask an Optuna trial for a label."""
        return trial.suggest_categorical(name, self.labels)

    def draw(self, rng: random.Random) -> Any:
        """A label by chance."""
        return rng.choice(self.labels)

    def accepts(self, value: Any) -> bool:
        """Whether it is the label of a choice."""
        return self._place_of(value) is not None

    def _place_of(self, label: Any) -> int | None:
        is_nan = label != label
        same = (i for i, known in enumerate(self.labels) if known == label or (is_nan and known != known))
        return next(same, None)

    def hyperparameter(self, name: str, prefix: str | None) -> Any:
        """ConfigSpace's hyperparameter for the choice."""
        from bigdl.nano.automl.hpo.config_space import categorical_hyperparameter

        return categorical_hyperparameter(self.labels, self.initial, name, prefix)

    def parameter_at(self, place: Place) -> str:
        """The name of the choice's parameter."""
        here = place.under(self.prefix)
        return parameter_name((*here.path, CHOICE), here.prefix)

    def resolve(self, build: Build, place: Place) -> Any:
        """The chosen one, made real."""
        name = self.parameter_at(place)
        counts = build.definition(name, self)
        if not isinstance(counts, Categorical):
            raise ValueError(
                f"'{name}' is the choice of {self} and also {counts}; give one of them a prefix."
            )
        index = counts._place_of(build.values.value(name, counts))
        assert index is not None
        return build.resolve(self._own(build, counts, index), place.under(counts.prefix).at(index))

    def _own(self, build: Build, counts: Categorical, index: int) -> Any:
        """What is chosen; of two choices of layers under one name, each has layers of its own."""
        from bigdl.nano.automl.hpo.symbols import has_symbol

        chosen = counts.data[index]
        if counts is self or not is_lazy(chosen):
            return chosen
        if self.labels == counts.labels:
            return self.data[index]
        return chosen if has_symbol(chosen) else build.twin(chosen, self)

    def parts(self, place: Place) -> Iterator[tuple[Any, Place]]:
        """The choices."""
        here = place.under(self.prefix)
        return ((choice, here.at(index)) for index, choice in enumerate(self.data))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Use the chosen layer in a functional model; its parameters are named below ``layer``."""
        from bigdl.nano.automl.hpo.symbols import record

        return record(self, args, kwargs)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Any:
        return self.data[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.data)

    def __repr__(self) -> str:
        return f"Categorical({', '.join(map(repr, self.labels))})"


class List(NestedSpace):
    """A list, some items of which are spaces; they are named by their index."""

    def __init__(self, *data: Any, prefix: str | None = None) -> None:
        super().__init__(prefix)
        self.data = list(data)

    def resolve(self, build: Build, place: Place) -> list[Any]:
        """The list with everything in it made real."""
        return [build.resolve(item, its) for item, its in self.parts(place)]

    def parts(self, place: Place) -> Iterator[tuple[Any, Place]]:
        """The items."""
        here = place.under(self.prefix)
        return ((item, here.at(index)) for index, item in enumerate(self.data))

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Any:
        return self.data[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.data)

    def __repr__(self) -> str:
        return f"List({', '.join(map(text_of, self.data))})"


class Dict(NestedSpace):
    """A dictionary, some items of which are spaces; they are named by their keys."""

    def __init__(self, *, prefix: str | None = None, **data: Any) -> None:
        super().__init__(prefix)
        self.data = data

    def resolve(self, build: Build, place: Place) -> dict[str, Any]:
        """The dictionary with everything in it made real."""
        here = place.under(self.prefix)
        return {key: build.resolve(item, here.at(key)) for key, item in self.data.items()}

    def parts(self, place: Place) -> Iterator[tuple[Any, Place]]:
        """The items."""
        here = place.under(self.prefix)
        return ((item, here.at(key)) for key, item in self.data.items())

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, key: str) -> Any:
        return self.data[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __repr__(self) -> str:
        return f"Dict({', '.join(f'{key}={text_of(item)}' for key, item in self.data.items())})"


def parameters_in(thing: Any, place: Place = ROOT) -> Iterator[tuple[str, Parameter, Any]]:
    """Every parameter that a recipe may ask for: its name, a definition, and what that is an argument of."""
    for part, where, owner in walk(thing, place):
        if isinstance(part, SimpleSpace | Categorical):
            yield part.parameter_at(where), part, owner  # type: ignore[misc]


def _labels(data: Sequence[Any]) -> list[Any]:
    """What is stored for each choice."""
    if all(item is None or isinstance(item, bool | str | numbers.Real) for item in data):
        plain = [_plain(item) for item in data]
        for i, item in enumerate(plain):
            if item in plain[:i]:
                raise ValueError(
                    f"Choice {item!r} of a Categorical equals an earlier one; choices must differ."
                )
        return plain
    labels = [item if isinstance(item, str) else text_of(item) for item in data]
    counted = [f"{label} [{i}]" if labels.count(label) > 1 else label for i, label in enumerate(labels)]
    is_clear = len(set(counted)) == len(counted)
    return counted if is_clear else [f"{label} [{i}]" for i, label in enumerate(labels)]


def _plain(item: Any) -> Any:
    """The plain value of a plain value, an enumeration or a number of numpy."""
    if item is None or isinstance(item, bool):
        return item
    if isinstance(item, str):
        return str.__str__(item)
    return int(item) if isinstance(item, numbers.Integral) else float(item)


def _are_equal(one: Any, other: Any) -> bool:
    try:
        return type(one) is type(other) and bool(one == other)
    except ValueError:  # arrays
        return False


def text_of(item: Any) -> str:
    """A short text for a value that is the same in every process: no addresses."""
    if item is None or isinstance(item, bool | int | float | str | Space):
        return repr(item)
    if type(item) in (list, tuple):
        inner = ", ".join(map(text_of, item))
        return f"[{inner}]" if isinstance(item, list) else f"({inner}{',' if len(item) == 1 else ''})"
    name = getattr(item, "__qualname__", None)
    return name if isinstance(name, str) else type(item).__qualname__


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
