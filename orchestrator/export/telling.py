"""How far a writer is: things on their way in; the same things out, and who is told hears of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

_STEP = 500


def counted(things: Iterable[T], told: Callable[[int], None]) -> Iterator[T]:
    """The same things; ``told`` hears of them in hundreds."""
    for n, thing in enumerate(things, 1):
        yield thing
        if n % _STEP == 0:
            told(_STEP)
