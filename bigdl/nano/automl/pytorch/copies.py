"""A trial's own copies of what the user gave: loaders, data modules in; copies that share the data out."""

from __future__ import annotations

import copy
import io
import pickle
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np

_LARGE_BYTES = 64 * 2**10


def own_copy(thing: Any) -> Any:
    """A deep copy that shares datasets, large arrays and tensors, functions and classes with the original.

    What cannot be pickled is copied one level deep.
    """
    stream = io.BytesIO()
    sharing = _Sharing(stream)
    try:
        sharing.dump(thing)
        stream.seek(0)
        return _Shared(stream, sharing.shared).load()
    except Exception:  # a data module may hold an open file, a lock, a connection
        return copy.copy(thing)


class _Sharing(pickle.Pickler):
    """Leaves out what is shared."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.shared: list[Any] = []

    def persistent_id(self, obj: Any) -> int | None:
        """Called by ``pickle`` for every object."""
        if not _is_shared(obj):
            return None
        self.shared.append(obj)
        return len(self.shared) - 1


class _Shared(pickle.Unpickler):
    """Puts it back."""

    def __init__(self, file: io.BytesIO, shared: list[Any]) -> None:
        super().__init__(file)
        self._shared = shared

    def persistent_load(self, pid: Any) -> Any:
        """Called by ``pickle`` for what was left out."""
        return self._shared[pid]


def _is_shared(thing: Any) -> bool:
    import torch

    if isinstance(thing, torch.utils.data.Dataset | FunctionType | BuiltinFunctionType | ModuleType | type):
        return True
    is_array = isinstance(thing, np.ndarray) or type(thing) is torch.Tensor
    return is_array and thing.nbytes >= _LARGE_BYTES


def require_copyable(callback: Any, way_out: str) -> None:
    """``TypeError`` for a callback of which a trial cannot have a copy of its own."""
    try:
        copy.deepcopy(callback)
    except Exception as error:
        raise TypeError(
            f"{type(callback).__name__} cannot be copied for each trial ({error}); {way_out}."
        ) from error
