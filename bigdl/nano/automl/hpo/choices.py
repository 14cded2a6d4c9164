"""One of several things: ``Categorical``, and what is stored for each of its choices."""

from __future__ import annotations

import numbers
import operator
import random
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

from bigdl.nano.automl.hpo.basis import text_of
from bigdl.nano.automl.hpo.config_space import categorical_hyperparameter
from bigdl.nano.automl.hpo.containers import Items
from bigdl.nano.automl.hpo.lazy import Build, Place, is_lazy
from bigdl.nano.automl.hpo.naming import CHOICE, parameter_name
from bigdl.nano.automl.hpo.symbols import has_symbol, record

if TYPE_CHECKING:
    from optuna.trial import BaseTrial


class Categorical(Items):
    """One of several things: plain values, layers, or spaces, of which only the chosen one is sampled.

    Plain values (text, numbers, booleans, None) are stored as they are, if they all are plain; else what is
    stored is a short text for each choice.
    """

    is_choice = True

    def __init__(self, *data: Any, prefix: str | None = None, default: Any = None) -> None:
        super().__init__(data, prefix)
        if not data:
            raise ValueError("A Categorical needs at least one choice.")
        self.labels = _labels(self.data)
        if _are_plain(self.data):
            self.data = list(map(_as_given, self.data, self.labels))
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
        chosen = counts.data[index]
        if counts is self or not is_lazy(chosen):
            return chosen
        if self.labels == counts.labels:
            return self.data[index]
        return chosen if has_symbol(chosen) else build.twin(chosen, self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Use the chosen layer in a functional model; its parameters are named below ``layer``."""
        return record(self, args, kwargs)

    def __repr__(self) -> str:
        return f"Categorical({', '.join(map(repr, self.labels))})"


def _as_given(item: Any, label: Any) -> Any:
    """What is handed over for a plain choice: numbers of numpy as plain ones, which Keras asks for."""
    return item if isinstance(item, Enum) else label


def _are_plain(data: Sequence[Any]) -> bool:
    return all(item is None or isinstance(item, bool | str | numbers.Real) for item in data)


def _labels(data: Sequence[Any]) -> list[Any]:
    """What is stored for each choice."""
    if _are_plain(data):
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
