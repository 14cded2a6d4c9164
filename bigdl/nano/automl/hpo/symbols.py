"""Recorded computations: calls on symbols in, symbols out; a build works them off.

A symbol stands for the result of a call that has not happened. What is computed with it, by a searchable
layer or function, by arithmetic or by slicing, is recorded as a further call. Nothing recurses along the
graph, so it may be as deep as one likes.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bigdl.nano.automl.hpo.lazy import ROOT, Build, Lazy, Place, parts_of

_created = itertools.count()


@dataclass(frozen=True, slots=True, eq=False)
class Call(Lazy):
    """A call that was recorded; arguments named by keyword name the parameters of spaces in them."""

    function: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def resolve(self, build: Build, place: Place) -> Any:
        """What it returns in this build."""
        args = build.resolve(self.args)
        kwargs = {key: build.resolve(value, ROOT.at(key)) for key, value in self.kwargs.items()}
        return build.apply(build.resolve(self.function, self._place), args, kwargs)

    @property
    def _place(self) -> Place:
        """Where the function stands."""
        return place_of_layer(self.function)

    def parts(self, place: Place) -> Iterator[tuple[Any, Place]]:
        """The function and the arguments."""
        yield self.function, self._place
        yield from parts_of(self.args, ROOT)
        yield from parts_of(dict(self.kwargs), ROOT)


def place_of_layer(layer: Any) -> Place:
    """A layer's arguments are named by themselves; a choice of layers is an argument ``layer``."""
    return ROOT.at("layer") if getattr(layer, "is_choice", False) else ROOT


class Symbol(Lazy):
    """The result of a recorded call."""

    build_class: type[Build] = Build

    def __init__(self, call: Call) -> None:
        self.call = call
        self.created = next(_created)

    def resolve(self, build: Build, place: Place) -> Any:
        """What it is in this build; all that it depends on is worked off first, without recursion."""
        if not build.has_made(self):
            if build.is_at_work:
                raise _Pending(self)
            _work_off(build, self)
        return build.once(self, lambda: None)

    def parts(self, place: Place) -> Iterator[tuple[Any, Place]]:
        """The call."""
        yield self.call, ROOT

    def __iter__(self) -> Iterator[Any]:
        """The items of a result that is a list: how many there are is found out with default values."""
        from bigdl.nano.automl.hpo.values import DefaultValues

        result = self.build_class(DefaultValues()).resolve(self)
        if not isinstance(result, list | tuple):
            raise TypeError(f"{self!r} is one value: it cannot be unpacked or iterated.")
        return iter([self[index] for index in range(len(result))])

    def __bool__(self) -> bool:
        raise TypeError(
            f"{self!r} is known only in a trial: it cannot be the condition of an if or a while; write a "
            "function of it and decorate that by @hpo.func()."
        )

    def __getitem__(self, key: Any) -> Any:
        return record(operator.getitem, (self, key), {})

    def __repr__(self) -> str:
        return f"<symbol {self.created}>"


class _Pending(Exception):
    """A symbol is needed that is not made yet."""

    def __init__(self, symbol: Symbol) -> None:
        self.symbol = symbol


_CIRCLE = (
    "A tensor is computed from itself: Categoricals of tensors have one name, and the last one counts for "
    "all. Give each a prefix."
)


def _work_off(build: Build, symbol: Symbol) -> None:
    """Make a symbol and, before it, whatever it asks for. ``ValueError`` when it asks for itself."""
    stack, waiting = [symbol], {id(symbol)}
    build.is_at_work = True
    try:
        while stack:
            top = stack[-1]
            try:
                if not build.has_made(top):
                    made = top.call.resolve(build, ROOT)
                    build.once(top, lambda made=made: made)  # type: ignore[misc]
                waiting.discard(id(stack.pop()))
            except _Pending as pending:
                if id(pending.symbol) in waiting:
                    raise ValueError(_CIRCLE) from None
                stack.append(pending.symbol)
                waiting.add(id(pending.symbol))
    finally:
        build.is_at_work = False


def record(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Record a call; a symbol like the first one among the arguments. ``TypeError`` when there is none."""
    first = next(symbols_in((args, kwargs)), None)
    if first is None:
        raise TypeError(
            f"{function!r} is called on {', '.join(type(arg).__name__ for arg in args) or 'nothing'}; a "
            "searchable layer is called on what bigdl.nano.tf.keras.Input and other searchable layers give."
        )
    for arg in args:
        if isinstance(arg, Lazy) and arg.is_space:
            raise TypeError(f"Give {arg!r} by keyword, so that its parameter has a name.")
    return type(first)(Call(function, args, kwargs))


def has_symbol(thing: Any) -> bool:
    """Whether a symbol is among the arguments."""
    return next(symbols_in(thing), None) is not None


def symbols_in(thing: Any) -> Iterator[Symbol]:
    """The symbols in plain containers and in choices, without those that they depend on."""
    if isinstance(thing, Symbol):
        yield thing
    elif not isinstance(thing, Lazy) or thing.is_space:
        for part, _ in parts_of(thing, ROOT):
            yield from symbols_in(part)


def _binary(function: Callable[[Any, Any], Any]) -> Any:
    def recorded(self: Symbol, other: Any) -> Any:
        return record(function, (self, other), {})

    def reflected(self: Symbol, other: Any) -> Any:
        return record(function, (other, self), {})

    return recorded, reflected


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor"):
    _forward, _backward = _binary(getattr(operator, f"__{_name}__"))
    setattr(Symbol, f"__{_name}__", _forward)
    setattr(Symbol, f"__r{_name}__", _backward)
for _name in ("lt", "le", "gt", "ge"):
    setattr(Symbol, f"__{_name}__", _binary(getattr(operator, _name))[0])
for _name in ("neg", "abs", "invert"):
    _unary = getattr(operator, f"__{_name}__")
    setattr(Symbol, f"__{_name}__", lambda self, _unary=_unary: record(_unary, (self,), {}))
