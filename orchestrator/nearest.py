"""A mistyped word and the words that there are in; the one that was meant, if one is near, out.

Importing it is cheap, so that the command line can.
"""

from __future__ import annotations

from collections.abc import Iterable

_LIKE = 0.6  # of 1: six in ten letters of both, in their order


def nearest(word: str, known: Iterable[str], likeness: float = _LIKE) -> str | None:
    """The known word that is most like ``word``; None where none is so like."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, list(known), n=1, cutoff=likeness)), None)
