"""What all search spaces are: their base classes."""

from __future__ import annotations

import itertools
import random
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bigdl.nano.automl.hpo.config_space import configuration_space
from bigdl.nano.automl.hpo.lazy import Build, Lazy, Place
from bigdl.nano.automl.hpo.naming import calling_place, parameter_name
from bigdl.nano.automl.hpo.parameter import Parameter
from bigdl.nano.automl.hpo.sharing import last_definitions
from bigdl.nano.automl.hpo.values import DefaultValues, RandomValues, StoredValues, TrialValues

if TYPE_CHECKING:
    from ConfigSpace import ConfigurationSpace
    from optuna.trial import BaseTrial

_created = itertools.count()


class Space(Lazy):
    """The base of all spaces."""

    is_space = True

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


class NestedSpace(Space):
    """A space with spaces in it; a prefix holds for all of them that have none of their own."""

    def from_trial(self, trial: BaseTrial) -> Any:
        """The value for an Optuna trial, which suggests each parameter: for objectives of one's own."""
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


def text_of(item: Any) -> str:
    """A short text for a value that is the same in every process: no addresses."""
    if item is None or isinstance(item, bool | int | float | str | Space):
        return repr(item)
    if type(item) in (list, tuple):
        inner = ", ".join(map(text_of, item))
        return f"[{inner}]" if isinstance(item, list) else f"({inner}{',' if len(item) == 1 else ''})"
    name = getattr(item, "__qualname__", None)
    return name if isinstance(name, str) else type(item).__qualname__
