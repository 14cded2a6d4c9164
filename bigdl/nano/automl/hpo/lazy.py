"""What is known only in a build: the base of everything lazy, and the build that makes it real.

A *build* makes one version of a recipe: it asks its :class:`Values` for the parameters and makes every lazy
object once, so that a layer that is used twice stays one layer.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from bigdl.nano.automl.hpo.parameter import Parameter


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a recipe something stands: the path that names its parameters, and the prefix above it."""

    path: tuple[str, ...] = ()
    prefix: str | None = None

    def at(self, key: object) -> Place:
        """The place one step below."""
        return Place((*self.path, str(key)), self.prefix)

    def under(self, prefix: str | None) -> Place:
        """The same place below something with a prefix of its own."""
        return self if prefix is None else Place(self.path, prefix)


ROOT = Place()


class Values(Protocol):
    """Where a build takes its parameters from: a trial, a finished trial, the defaults, chance."""

    def value(self, name: str, parameter: Parameter) -> Any:
        """The value of a parameter, one of those that its distribution holds."""


class Lazy(ABC):
    """What a build makes real: a search space, an object with searchable arguments, a recorded tensor."""

    is_space = False  # what it is is searched, in itself or in its arguments
    is_choice = False  # it is one of several things

    @abstractmethod
    def resolve(self, build: Build, place: Place) -> Any:
        """What it is in this build."""

    @abstractmethod
    def parts(self, place: Place) -> Iterator[tuple[Any, Place]]:
        """What it is made of, in every version, and where that stands."""


def lazy_of(thing: Any) -> Any:
    """What a thing stands for in a recipe: itself, or what its ``__lazy__()`` gives (a searchable model)."""
    return thing.__lazy__() if hasattr(type(thing), "__lazy__") else thing


class Build:
    """One making of a recipe. ``last`` holds, by parameter name, the definition that counts for all."""

    def __init__(self, values: Values, last: Mapping[str, Parameter] | None = None) -> None:
        self.values = values
        self._last = last or {}
        self._made: dict[int, tuple[Any, Any]] = {}  # by id: the lazy thing (kept alive), and what it became
        self.is_at_work = False  # on symbols: what one needs is worked off before it
        self._twins: dict[tuple[int, int], Any] = {}  # by the ids of two lazy things of the recipe

    def resolve(self, thing: Any, place: Place = ROOT) -> Any:
        """The thing with everything lazy in it made real; what holds nothing lazy comes back as it is."""
        thing = lazy_of(thing)
        if isinstance(thing, Lazy):
            return thing.resolve(self, place)
        return mapped(thing, lambda part, key: self.resolve(part, place.at(key)))

    def once(self, lazy: Any, make: Callable[[], Any]) -> Any:
        """What ``lazy`` became in this build, made when it is first asked for."""
        known = self._made.get(id(lazy))
        if known is None:
            known = self._made[id(lazy)] = (lazy, make())
        return known[1]

    def twin(self, lazy: Any, owner: Any) -> Any:
        """A copy of ``lazy`` that belongs to ``owner``: what it becomes is not what ``lazy`` becomes."""
        key = (id(lazy), id(owner))
        if key not in self._twins:
            self._twins[key] = copy.deepcopy(lazy)
        return self._twins[key]

    def has_made(self, lazy: Any) -> bool:
        """Whether it was made already."""
        return id(lazy) in self._made

    def definition(self, name: str, own: Parameter) -> Parameter:
        """The definition that counts for a parameter: the last one of its name, else its own."""
        return self._last.get(name, own)

    def apply(self, function: Callable[..., Any], args: Any, kwargs: Mapping[str, Any]) -> Any:
        """Call what a recorded computation calls."""
        return function(*args, **kwargs)


def mapped(thing: Any, change: Callable[[Any, object], Any]) -> Any:
    """A list, tuple or dictionary with each item changed; the very same object when none was."""
    if isinstance(thing, dict):
        new = {key: change(item, key) for key, item in thing.items()}
        return thing if all(new[key] is thing[key] for key in thing) else new
    if not _is_sequence(thing):
        return thing
    items = [change(item, index) for index, item in enumerate(thing)]
    if all(new is old for new, old in zip(items, thing, strict=True)):
        return thing
    return type(thing)(*items) if hasattr(thing, "_fields") else type(thing)(items)


def _is_sequence(thing: Any) -> bool:
    """A list or tuple, plain or with names for its items."""
    return type(thing) in (list, tuple) or (isinstance(thing, tuple) and hasattr(thing, "_fields"))


def parts_of(thing: Any, place: Place) -> Iterator[tuple[Any, Place]]:
    """What something lazy, or a plain container, is made of."""
    thing = lazy_of(thing)
    if isinstance(thing, Lazy):
        yield from thing.parts(place)
    elif isinstance(thing, dict):
        yield from ((item, place.at(key)) for key, item in thing.items())
    elif _is_sequence(thing):
        yield from ((item, place.at(index)) for index, item in enumerate(thing))


def walk(thing: Any, place: Place = ROOT) -> Iterator[tuple[Any, Place, Any]]:
    """Everything in a recipe, in every version: it, its place, what it is part of.

    A lazy thing comes once for each place: the same space may name parameters of two arguments.
    """
    seen: set[tuple[int, Place]] = set()
    stack: list[tuple[Any, Place, Any]] = [(thing, place, None)]
    while stack:
        here, where, owner = stack.pop()
        here = lazy_of(here)
        if isinstance(here, Lazy):
            if (id(here), where) in seen:
                continue
            seen.add((id(here), where))
        yield here, where, owner
        within = here if isinstance(here, Lazy) else owner
        parts = [(part, its, within) for part, its in parts_of(here, where)]
        stack.extend(reversed(parts))


def is_lazy(thing: Any) -> bool:
    """Whether there is anything lazy in it."""
    return any(isinstance(part, Lazy) for part, _, _ in walk(thing))
