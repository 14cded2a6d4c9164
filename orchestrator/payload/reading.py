"""Arrays for a worker: references that stand in a pickle in; arrays that are mapped from files out."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.payload.contents import Array, Order

Shape = tuple[int, ...]


class ArrayReader:
    """Gives the arrays of one pickle.

    They are mapped copy-on-write: all processes share the pages that none of them writes to, and each may
    write. Each map holds a file descriptor, so only the first of very many are mapped, the rest is read.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._maps_left = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4
        if self._maps_left < 0:  # unlimited
            self._maps_left = sys.maxsize

    def stored(self, name: str, dtype: np.dtype[Any], shape: Shape, order: Order) -> Array:
        """The array in a file of the folder."""
        if self._folder is None:
            raise ValueError("the folder of its arrays is not known")
        return self.part(str(self._folder / name), 0, dtype, shape, order)

    def part(self, path: str, offset: int, dtype: np.dtype[Any], shape: Shape, order: Order) -> Array:
        """The array in a part of any file."""
        if self._maps_left < 1:
            return _read(path, offset, dtype, shape, order)
        self._maps_left -= 1
        mapped: Array = np.memmap(path, dtype, "c", offset, shape, order)
        return np.asarray(mapped)


def _read(path: str, offset: int, dtype: np.dtype[Any], shape: Shape, order: Order) -> Array:
    n_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    octets = np.fromfile(path, np.uint8, n_bytes, offset=offset)
    return np.ndarray(shape, dtype, octets, order=order)


def stored_array(name: str, dtype: np.dtype[Any], shape: Shape, order: Order) -> Array:
    """What a pickle names for an array in the folder; ``load`` puts an ``ArrayReader`` in its place."""
    raise ValueError("this pickle has arrays in files: read it with orchestrator.payload.load")


def array_in_file(path: str, offset: int, dtype: np.dtype[Any], shape: Shape, order: Order) -> Array:
    """What a pickle names for an array in a file of the user's; likewise."""
    return ArrayReader(None).part(path, offset, dtype, shape, order)


def tensor_of(kind: type, array: Array, requires_grad: bool) -> Any:
    """A tensor of torch on the memory of an array; its ``kind`` stands in the pickle and has loaded torch."""
    return sys.modules["torch"].from_numpy(array).requires_grad_(requires_grad)
