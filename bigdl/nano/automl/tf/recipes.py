"""Models that are not made yet: layers in a row, or a recorded graph; a build makes a Keras model of them."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bigdl.nano.automl.hpo.lazy import ROOT, Build, Lazy, Place, parts_of
from bigdl.nano.automl.hpo.objects import LazyObject
from bigdl.nano.automl.hpo.symbols import Symbol, place_of_layer, symbols_in
from bigdl.nano.automl.tf.tensors import is_input


class SequentialRecipe(Lazy):
    """A ``keras.Sequential`` to be."""

    def __init__(self, kwargs: Mapping[str, Any]) -> None:
        self.kwargs = dict(kwargs)
        self.layers: list[Any] = []

    def add(self, layer: Any) -> None:
        """Add a layer. ``input_shape`` of the first one becomes an input, as today's Keras wants it."""
        if isinstance(layer, LazyObject) and not self.layers and "input_shape" in layer.kwargs:
            import keras

            rest = {key: value for key, value in layer.kwargs.items() if key != "input_shape"}
            self.layers.append(LazyObject(keras.Input, (), {"shape": layer.kwargs["input_shape"]}))
            layer = LazyObject(layer.target, layer.args, rest)
        self.layers.append(layer)

    def resolve(self, build: Build, place: Place) -> Any:
        """The model, its layers made."""
        return build.once(self, lambda: self._made(build))

    def _made(self, build: Build) -> Any:
        import keras

        kwargs = {key: build.resolve(value, ROOT.at(key)) for key, value in self.kwargs.items()}
        return keras.Sequential(
            [build.resolve(layer, place_of_layer(layer)) for layer in self.layers], **kwargs
        )

    def parts(self, place: Place) -> Iterator[tuple[Any, Place]]:
        """The layers."""
        yield from ((layer, place_of_layer(layer)) for layer in self.layers)
        yield from parts_of(self.kwargs, ROOT)


class FunctionalRecipe(Lazy):
    """A functional ``keras.Model`` to be: what was recorded between its inputs and its outputs.

    ``order`` stands first and lists the graph from its beginning, so that pickling it does not recurse.
    """

    def __init__(self, inputs: Any, outputs: Any, kwargs: Mapping[str, Any]) -> None:
        declared = list(symbols_in(inputs))
        self.order = _graph(declared, outputs)
        self.inputs, self.outputs, self.kwargs = inputs, outputs, dict(kwargs)
        _check_inputs(declared, self.order)

    def resolve(self, build: Build, place: Place) -> Any:
        """The model, everything between its inputs and outputs computed anew."""
        return build.once(self, lambda: self._made(build))

    def _made(self, build: Build) -> Any:
        import keras

        inputs, outputs = build.resolve(self.inputs), build.resolve(self.outputs)
        kwargs = {key: build.resolve(value, ROOT.at(key)) for key, value in self.kwargs.items()}
        with _recursion_of(len(self.order)):
            return keras.Model(inputs=inputs, outputs=outputs, **kwargs)

    def parts(self, place: Place) -> Iterator[tuple[Any, Place]]:
        """The recorded calls, in their order, and the arguments of the model."""
        yield from ((symbol.call, ROOT) for symbol in self.order)
        yield from parts_of(self.inputs, ROOT)
        yield from parts_of(self.outputs, ROOT)
        yield from parts_of(self.kwargs, ROOT)


@contextmanager
def _recursion_of(n_calls: int) -> Iterator[None]:
    """Let Keras recurse along a graph, as it does when it makes a model: a frame or more for each call."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(before + 4 * n_calls)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def _graph(declared: list[Symbol], outputs: Any) -> list[Symbol]:
    """All that the outputs depend on, from the declared inputs on, in the order of recording."""
    ends = {id(symbol) for symbol in declared}
    found: dict[int, Symbol] = {}
    stack = list(symbols_in(outputs))
    if not stack:
        raise ValueError(f"outputs is {outputs!r}; it must hold what searchable layers give.")
    while stack:
        symbol = stack.pop()
        if id(symbol) not in found:
            found[id(symbol)] = symbol
            if id(symbol) not in ends:
                call = symbol.call
                stack.extend(symbols_in((call.function, call.args, call.kwargs)))
    return sorted(found.values(), key=lambda symbol: symbol.created)


def _check_inputs(declared: list[Symbol], order: list[Symbol]) -> None:
    if not declared:
        raise ValueError("inputs holds no tensor of bigdl.nano.tf.keras.Input.")
    known, used = {id(symbol) for symbol in declared}, {id(symbol) for symbol in order}
    for symbol in order:
        if is_input(symbol) and id(symbol) not in known:
            raise ValueError(f"The outputs depend on {described(symbol)}, which is not among the inputs.")
    for symbol in declared:
        if id(symbol) not in used:
            warnings.warn(
                f"The outputs do not depend on {described(symbol)}: this input is ignored.", stacklevel=4
            )


def described(symbol: Symbol) -> str:
    """``Input(shape=(8,))``."""
    if not is_input(symbol):
        return repr(symbol)
    words = ", ".join(f"{key}={value!r}" for key, value in symbol.call.kwargs.items())
    return f"Input({words})"
