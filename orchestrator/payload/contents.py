"""What an array holds: an array in; its bytes, piece by piece, and their digest out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Order = Literal["C", "F"]

PIECE_BYTES = 16 * 2**20
_PLAIN_KINDS = "?biufcmMSUV"  # others, as numpy's StringDType, may keep pointers in their bytes


def is_plain(dtype: np.dtype[Any]) -> bool:
    """Whether the bytes of an array of this type are all there is to it."""
    return dtype.kind in _PLAIN_KINDS and not dtype.hasobject


def order_of(array: Array) -> Order:
    """Fortran's order where the array lies so in memory; C's for every other, contiguous or not."""
    return "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"


def pieces(array: Array) -> Iterator[memoryview]:
    """The bytes of a plain array in its order (:func:`order_of`), in pieces of about ``PIECE_BYTES``.

    What is not contiguous is gathered piece by piece, never as a whole.
    """
    lying = np.asarray(array.T if order_of(array) == "F" else array)
    if not lying.flags.c_contiguous:
        yield from _gathered(lying)
        return
    octets = lying.reshape(-1).view(np.uint8)
    for start in range(0, octets.size, PIECE_BYTES):
        yield octets[start : start + PIECE_BYTES].data


def _gathered(array: Array) -> Iterator[memoryview]:
    size = max(1, PIECE_BYTES // array.itemsize)
    for piece in np.nditer(array, ["external_loop", "buffered"], order="C", buffersize=size):
        yield np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data


def digest(array: Array) -> str:
    """A name for the content: the same for the same bytes, whatever their type and shape."""
    state = hashlib.blake2b(digest_size=20)
    for piece in pieces(array):
        state.update(piece)
    return state.hexdigest()
