"""Pickles of what Python hands to workers: an object in, its pickle and its arrays in files out, and back."""

from __future__ import annotations

import functools
import io
import os
import pickle
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np

from orchestrator.paths import written_whole
from orchestrator.payload.backing import file_behind
from orchestrator.payload.contents import Array, is_plain, order_of
from orchestrator.payload.folder import ArrayFolder
from orchestrator.payload.reading import ArrayReader, array_in_file, stored_array, tensor_of
from orchestrator.payload.tensors import array_of, is_tensor, view_key

LARGE_BYTES = 64 * 2**10  # arrays of this size and more lie in files


def dump(thing: Any, path: Path, arrays: ArrayFolder) -> None:
    """Write ``thing`` by value to ``path`` (mode 0600), its large arrays to the folder.

    Whatever Python raises when something cannot be pickled is raised, and nothing is written then.
    ``RunDirError``: there is no room for the arrays.
    """
    stream = io.BytesIO()
    _Pickler(stream, arrays).dump(thing)
    arrays.write()
    with written_whole(path, mode=0o600) as temporary, open(temporary, "wb", opener=_private) as file:
        file.write(stream.getbuffer())


def load(path: Path, arrays: Path | None) -> Any:
    """The object that :func:`dump` wrote; ``arrays`` is the path of the folder."""
    with path.open("rb") as file:
        return _Unpickler(file, arrays).load()


CachedFunction = type(functools.lru_cache(len))


def cached(function: Any, parameters: dict[str, Any]) -> Any:
    """A function with a cache of its own, as ``functools.lru_cache`` makes one."""
    return functools.lru_cache(**parameters)(function)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Puts references in the place of large arrays."""

    def __init__(self, file: io.BytesIO, arrays: ArrayFolder) -> None:
        super().__init__(file)
        self._arrays = arrays
        self._names: dict[tuple[Any, ...], str] = {}  # by memory, which the pickler's memo keeps alive
        self._views: dict[tuple[Any, ...], Array] = {}  # of tensors, so that tied ones stay tied

    def reducer_override(self, obj: Any) -> Any:
        """Called by ``pickle`` for everything but the simplest types."""
        reduced: Any = NotImplemented
        if type(obj) is np.ndarray or type(obj) is np.memmap:
            reduced = self._array(obj)
        elif is_tensor(obj):
            reduced = self._tensor(obj)
        elif type(obj) is CachedFunction and obj.__module__ == "__main__":  # it would go by name
            reduced = cached, (obj.__wrapped__, obj.cache_parameters())
        return super().reducer_override(obj) if reduced is NotImplemented else reduced

    def _array(self, array: Array) -> Any:
        if array.nbytes < LARGE_BYTES or not is_plain(array.dtype):
            return NotImplemented
        form = (array.dtype, array.shape, order_of(array))
        part = file_behind(array)
        if part is not None:
            return array_in_file, (str(part.path), part.offset, *form)
        key = (array.ctypes.data, array.strides, array.shape, array.dtype)
        if key not in self._names:
            self._names[key] = self._arrays.add(array)
        return stored_array, (self._names[key], *form)

    def _tensor(self, tensor: Any) -> Any:
        array = array_of(tensor)
        if array is None or array.nbytes < LARGE_BYTES:
            return NotImplemented
        array = self._views.setdefault(view_key(tensor), array)
        return tensor_of, (type(tensor), array, tensor.requires_grad)


class _Unpickler(pickle.Unpickler):
    """Resolves the references."""

    def __init__(self, file: Any, folder: Path | None) -> None:
        super().__init__(file)
        self._reader = ArrayReader(folder)

    def find_class(self, module: str, name: str) -> Any:
        """Called by ``pickle`` for every function and class that it needs."""
        found = super().find_class(module, name)
        if found is stored_array:
            return self._reader.stored
        return self._reader.part if found is array_in_file else found
