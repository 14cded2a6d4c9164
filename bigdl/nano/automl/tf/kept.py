"""Keras objects that were made before the search: each trial gets its own, with the weights it began with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bigdl.nano.automl.hpo.choices import Categorical
from bigdl.nano.automl.hpo.containers import Dict, List
from bigdl.nano.automl.hpo.lazy import Build, Lazy, Place, mapped, walk
from bigdl.nano.automl.hpo.objects import Arguments, LazyObject
from bigdl.nano.automl.hpo.symbols import Call
from bigdl.nano.automl.tf.copies import copier_of

_Known = dict[int, tuple[Any, "Kept"]]  # by id: the object (kept alive, so that its id stays its own)


class Kept(Lazy):
    """An object of Keras as what makes new ones like it, with the weights that it had."""

    def __init__(self, thing: Any) -> None:
        self.label = type(thing).__qualname__
        self.name = getattr(thing, "name", None)
        self._copy = copier_of(thing)

    def resolve(self, build: Build, place: Place) -> Any:
        """A new one like it."""
        return build.once(self, self._copy)

    def parts(self, place: Place) -> Iterator[tuple[Any, Place]]:
        """None."""
        return iter(())


def keep(recipe: Any) -> None:
    """Replace every Keras object in a recipe by a :class:`Kept`, one for each object."""
    known: _Known = {}
    for part, _, _ in list(walk(recipe)):
        if isinstance(part, LazyObject):
            part.args, part.kwargs = _kept(part.args, known), _kept(part.kwargs, known)
        elif isinstance(part, Categorical | List | Dict):
            part.data = _kept(part.data, known)
        elif isinstance(part, Arguments):
            part.kwargs = _kept(part.kwargs, known)
        elif isinstance(part, Call):
            for name in ("function", "args", "kwargs"):
                object.__setattr__(part, name, _kept(getattr(part, name), known))


def kept(thing: Any) -> Any:
    """The thing with every Keras object in it replaced."""
    return _kept(thing, {})


def _kept(thing: Any, known: _Known) -> Any:
    if isinstance(thing, _kinds()):
        if id(thing) not in known:
            known[id(thing)] = (thing, Kept(thing))
        return known[id(thing)][1]
    return mapped(thing, lambda part, _: _kept(part, known))


def _kinds() -> tuple[type, ...]:
    import keras

    return (
        keras.layers.Layer,
        keras.losses.Loss,
        keras.metrics.Metric,
        keras.optimizers.Optimizer,
        keras.optimizers.schedules.LearningRateSchedule,
        keras.regularizers.Regularizer,
        keras.initializers.Initializer,
        keras.constraints.Constraint,
    )
