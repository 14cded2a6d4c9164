"""A trial's own copies of what the user gave: loaders, data modules in; copies that share the data out."""

from __future__ import annotations

import copy
import io
import pickle
import sys
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
    return isinstance(thing, FunctionType | BuiltinFunctionType | ModuleType | type) or is_data(thing)


def is_data(thing: Any) -> bool:
    """Whether it is a dataset, a loader's or one's own, or a large array or tensor: trials share it."""
    torch: Any = sys.modules.get("torch")
    if torch is not None and isinstance(thing, torch.utils.data.Dataset):
        return True
    is_tensor = torch is not None and type(thing) is torch.Tensor
    return (is_tensor or isinstance(thing, np.ndarray)) and bool(thing.nbytes >= _LARGE_BYTES)


def require_copyable(thing: Any, way_out: str) -> None:
    """``TypeError`` for a callback or logger of which a trial cannot have a copy of its own."""
    try:
        copy.deepcopy(thing)
    except Exception as error:
        raise TypeError(
            f"{type(thing).__name__} cannot be copied for each trial ({error}); {way_out}."
        ) from error
