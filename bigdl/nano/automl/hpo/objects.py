"""Objects with searchable arguments: a class or function in; what takes spaces for its arguments out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from bigdl.nano.automl.hpo.basis import NestedSpace, Space, text_of
from bigdl.nano.automl.hpo.lazy import ROOT, Build, Lazy, Place, is_lazy, mapped, parts_of
from bigdl.nano.automl.hpo.symbols import has_symbol, record


class LazyObject(NestedSpace):
    """What a class or function will make of its arguments, once they are known.

    In one build it is made once, wherever it is used. Called on recorded tensors (a layer in a functional
    model) it records the call.
    """

    def __init__(self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        super().__init__()
        self.target, self.args, self.kwargs = target, args, dict(kwargs)

    @property
    def label(self) -> str:
        """The name of the class or function."""
        return name_of(self.target)

    def resolve(self, build: Build, place: Place) -> Any:
        """The object."""
        return build.once(self, lambda: self._made(build, place))

    def _made(self, build: Build, place: Place) -> Any:
        args = build.resolve(self.args, place)
        kwargs = {key: build.resolve(value, place.at(key)) for key, value in self.kwargs.items()}
        return self.target(*args, **kwargs)

    def parts(self, place: Place) -> Iterator[tuple[Any, Place]]:
        """The arguments."""
        yield from ((value, place.at(index)) for index, value in enumerate(self.args))
        yield from ((value, place.at(key)) for key, value in self.kwargs.items())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Record the call of what it will be."""
        return record(self, args, kwargs)

    def __repr__(self) -> str:
        words = [text_of(arg) for arg in self.args]
        words += [f"{key}={text_of(value)}" for key, value in self.kwargs.items()]
        return f"{name_of(self.target)}({', '.join(words)})"


class Searchable:
    """A class that takes search spaces for its arguments; calling it gives a :class:`LazyObject`.

    In all else it stands for the class: its attributes, ``isinstance``, and as a base class.
    """

    def __init__(self, target: Callable[..., Any]) -> None:
        if "__wrapped__" in self.__dict__:  # Layer.__init__(self) in a subclass of a searchable Layer
            raise TypeError(f"Call super().__init__(...) in place of {name_of(self)}.__init__(self, ...).")
        self.__wrapped__ = target
        self.__name__ = self.__qualname__ = name_of(target)
        self.__doc__ = target.__doc__
        self.__module__ = target.__module__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The object to be, with spaces among its arguments."""
        return self._lazy(*checked_arguments(self.__wrapped__, args, kwargs))

    def _lazy(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return LazyObject(self.__wrapped__, args, kwargs)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self.__wrapped__,)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, self.__wrapped__)  # type: ignore[arg-type]

    def __subclasscheck__(self, kind: Any) -> bool:
        return issubclass(kind, self.__wrapped__)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "__wrapped__" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.__wrapped__, name)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.__wrapped__,)

    def __repr__(self) -> str:
        return f"<searchable {self.__module__}.{self.__qualname__}>"


class SearchableFunction(Lazy):
    """A function that may be called with spaces and recorded tensors, and is recorded then.

    Called with neither it is the function. Given as a value (``activation=relu``) it stands for the function.
    """

    def __init__(self, target: Callable[..., Any]) -> None:
        self.__wrapped__ = target
        self.__name__ = self.__qualname__ = name_of(target)
        self.__doc__ = target.__doc__
        self.__module__ = getattr(target, "__module__", None) or type(target).__module__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Its value, or a recorded call of it."""
        if has_symbol((args, kwargs)):
            return record(self.__wrapped__, *checked_arguments(self.__wrapped__, args, kwargs))
        if is_lazy((args, kwargs)):
            return LazyObject(self.__wrapped__, *checked_arguments(self.__wrapped__, args, kwargs))
        return self.__wrapped__(*args, **kwargs)

    def resolve(self, build: Build, place: Place) -> Any:
        """The function."""
        return self.__wrapped__

    def parts(self, place: Place) -> Iterator[tuple[Any, Place]]:
        """None."""
        return iter(())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.__wrapped__,)

    def __repr__(self) -> str:
        return f"<searchable {self.__module__}.{self.__qualname__}>"


class Arguments(Lazy):
    """The keyword arguments of a call, some of them spaces, which are named by their keyword.

    Objects among them, alone or in a list, name their own arguments: ``learning_rate`` of the optimizer that
    is given as ``optimizer=Adam(learning_rate=Real(…))``.
    """

    def __init__(self, kwargs: Mapping[str, Any]) -> None:
        self.kwargs = dict(kwargs)

    def resolve(self, build: Build, place: Place) -> dict[str, Any]:
        """The arguments with everything in them made real."""
        return {key: self._resolved(build, value, place.at(key)) for key, value in self.kwargs.items()}

    def _resolved(self, build: Build, value: Any, place: Place) -> Any:
        if isinstance(value, Lazy):
            return build.resolve(value, ROOT if isinstance(value, LazyObject) else place)
        return mapped(value, lambda part, key: self._resolved(build, part, place.at(key)))

    def parts(self, place: Place) -> Iterator[tuple[Any, Place]]:
        """The arguments."""
        for key, value in self.kwargs.items():
            yield from self._parts(value, place.at(key))

    def _parts(self, value: Any, place: Place) -> Iterator[tuple[Any, Place]]:
        if isinstance(value, Lazy):
            yield value, ROOT if isinstance(value, LazyObject) else place
        else:
            for part, where in parts_of(value, place):
                yield from self._parts(part, where)


def checked_arguments(
    target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments by name, as ``target`` takes them; ``TypeError`` now and not in the first trial."""
    signature = _signature(target)
    if signature is None:
        _require_named_spaces(target, args)
        return args, dict(kwargs)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{name_of(target)}: {error}.") from None
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds or inspect.Parameter.POSITIONAL_ONLY in kinds:
        _require_named_spaces(target, args)
        return args, dict(kwargs)
    return (), {**dict(zip(signature.parameters, args, strict=False)), **kwargs}


def _signature(target: Callable[..., Any]) -> inspect.Signature | None:
    return _read_once(target) if isinstance(target, Hashable) else _read(target)


@lru_cache(maxsize=1024)
def _read_once(target: Callable[..., Any]) -> inspect.Signature | None:
    return _read(target)


def _read(target: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(target)
    except (TypeError, ValueError):
        return None


def _require_named_spaces(target: Callable[..., Any], args: tuple[Any, ...]) -> None:
    for arg in args:
        if isinstance(arg, Space) and not isinstance(arg, LazyObject):
            raise TypeError(f"{name_of(target)}: give {arg!r} by keyword, so that its parameter has a name.")


def name_of(target: Any) -> str:
    """The name of a class or function, for people."""
    return str(getattr(target, "__qualname__", type(target).__qualname__)).rpartition("<locals>.")[2]
