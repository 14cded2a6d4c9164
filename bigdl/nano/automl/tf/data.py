"""What a trial trains on: the data arguments of ``fit`` in; the same, cheap to hand to every trial, out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

DATA = ("x", "y", "sample_weight", "validation_data", "validation_split")
_LARGE_BYTES = 2**20
_ALIGNMENT = 64  # bytes; TensorFlow takes over the memory of an array that lies so
_KINDS = "iuf"  # of numbers that TensorFlow takes over


@dataclass(frozen=True)
class FitData:
    """The data of ``fit``: arrays as Keras would convert them, split where ``validation_split`` says so.

    ``x`` may be a function without arguments that gives a dataset: it is called for each trial. Arrays that
    are mapped from a file are handed to Keras without a copy.
    """

    given: Mapping[str, Any]

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> FitData:
        """From the arguments of ``fit``; conversions are done here, once for all trials."""
        given = {name: _converted(arguments[name]) for name in DATA if arguments.get(name) is not None}
        split = given.get("validation_split")
        if split and "validation_data" not in given and _is_all_arrays(given):
            given = _split(given, float(split))
        return cls(given)

    @property
    def has_validation(self) -> bool:
        """Whether a training has metrics on validation data."""
        return "validation_data" in self.given or bool(self.given.get("validation_split"))

    def arguments(self) -> dict[str, Any]:
        """The arguments of ``fit`` for one trial."""
        made = {name: value() if _is_function(value) else value for name, value in self.given.items()}
        order = {"shuffle": False} if _is_dataset(made.get("x")) else {}  # a dataset brings its own order
        return {**order, **{name: _map(_taken_over, value) for name, value in made.items()}}

    def sample(self) -> dict[str, Any] | None:
        """``x`` and ``y`` of one batch or sample; None where taking it would use it up (a generator)."""
        x: Any = self.given.get("x")
        x = x() if _is_function(x) else x
        if _is_dataset(x):
            return {"x": x.take(1)}
        if _is_sequence(x):
            batch = x[0]
            return (
                dict(zip(("x", "y", "sample_weight"), batch, strict=False))
                if isinstance(batch, tuple)
                else {"x": batch}
            )
        names = [name for name in ("x", "y", "sample_weight") if name in self.given]
        if x is None or not _is_all_arrays({name: self.given[name] for name in names}):
            return None
        return {name: _map(lambda a: a[:1], self.given[name]) for name in names}

    def unsendable(self) -> str | None:
        """What cannot go to another process, for people; None when all can."""
        for name in ("x", "validation_data"):
            value = self.given.get(name)
            if _is_dataset(value):
                return f"{name} is a tf.data.Dataset"
            if hasattr(value, "__next__"):
                return f"{name} is a generator"
            if any(hasattr(leaf, "row_splits") for leaf in _leaves(value)):
                return f"{name} is a ragged tensor"
        return None


def _is_function(value: Any) -> bool:
    return callable(value) and not hasattr(value, "__getitem__") and not hasattr(value, "__iter__")


def _is_dataset(value: Any) -> bool:
    return hasattr(value, "element_spec") and hasattr(value, "take")


def _is_sequence(value: Any) -> bool:
    """A ``keras.utils.PyDataset``."""
    import keras

    return isinstance(value, keras.utils.PyDataset)


def _is_all_arrays(given: Mapping[str, Any]) -> bool:
    leaves = [leaf for name in ("x", "y", "sample_weight") for leaf in _leaves(given.get(name))]
    return bool(leaves) and all(isinstance(leaf, np.ndarray) and leaf.ndim for leaf in leaves)


def _leaves(value: Any) -> Iterator[Any]:
    """All that is not None in nested lists, tuples and dictionaries."""
    if isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    elif value is not None:
        yield value


def _map(change: Any, value: Any) -> Any:
    """Change every array in nested lists, tuples and dictionaries; all else stays."""
    if isinstance(value, dict):
        return {key: _map(change, item) for key, item in value.items()}
    if type(value) in (list, tuple) and any(
        isinstance(item, np.ndarray | list | tuple | dict) for item in value
    ):
        return type(value)(_map(change, item) for item in value)
    if isinstance(value, np.ndarray):
        changed = change(value)
        return value if changed is None else changed
    return value


def _converted(value: Any) -> Any:
    """Tensors and tables as arrays, and floating-point numbers as Keras would convert them."""
    import keras

    def as_keras_has_it(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        floats = array.dtype.kind == "f" and array.dtype.name != keras.config.floatx()
        return array.astype(keras.config.floatx()) if floats else array

    return _map(as_keras_has_it, _as_arrays(value))


def _as_arrays(value: Any) -> Any:
    """Tensors, and tables and columns of pandas, as arrays: what Keras makes of them, but able to travel."""
    if isinstance(value, dict):
        return {key: _as_arrays(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_as_arrays(item) for item in value)
    if hasattr(value, "iloc") and hasattr(value, "to_numpy"):
        array = value.to_numpy()
        return array[:, None] if array.ndim == 1 else array
    is_dense = hasattr(value, "numpy") and hasattr(value, "shape") and not hasattr(value, "row_splits")
    if isinstance(value, np.ndarray) or not is_dense:
        return value
    array = np.asarray(value.numpy())
    return np.char.decode(array.astype(bytes), "utf-8").astype(object) if array.dtype.kind == "O" else array


def _split(given: Mapping[str, Any], fraction: float) -> dict[str, Any]:
    """Training and validation data as Keras splits them: the last part, before any shuffling.

    Done here so that each part can be mapped from a file of its own. Source: Keras's documentation of
    ``fit`` and its ``train_validation_split`` (floor of n · (1 − fraction)).
    """
    names = [name for name in ("x", "y", "sample_weight") if name in given]
    first: list[int] = []
    _map(lambda a: first.append(len(a)), given["x"])
    at = math.floor(first[0] * (1.0 - fraction))
    if at in (0, first[0]):
        raise ValueError(
            f"validation_split is {fraction}: of {first[0]} samples that leaves none on one side."
        )
    rest = {name: value for name, value in given.items() if name not in (*names, "validation_split")}
    training = {name: _map(lambda a: a[:at], given[name]) for name in names}
    validation = tuple(_map(lambda a: a[at:], given[name]) for name in names)
    if "sample_weight" in names and "y" not in names:
        validation = (validation[0], None, validation[1])
    return {**rest, **training, "validation_data": validation}


def _taken_over(array: np.ndarray[Any, Any]) -> Any:
    """A large array as a tensor over the same memory, where that is possible; else the array."""
    import tensorflow as tf

    fits = array.flags.c_contiguous and array.flags.writeable and array.ctypes.data % _ALIGNMENT == 0
    is_plain = array.dtype.kind in _KINDS and array.dtype.isnative
    if array.nbytes < _LARGE_BYTES or not fits or not is_plain or not _is_mapped(array):
        return array
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


def _is_mapped(array: np.ndarray[Any, Any]) -> bool:
    """Whether its memory is that of a file."""
    base: Any = array
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            return True
        base = base.base
    return False
