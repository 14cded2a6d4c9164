"""Names of parameters and studies for people: stored names in; what people wrote out.

Data keeps the stored names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

CHOICE_SUFFIX = "\u2581choice"  # our search spaces put it behind the names of their categorical parameters


def shown_name(name: str) -> str:
    """The name of a parameter as people wrote it, without the suffix of our search spaces."""
    return name.removesuffix(CHOICE_SUFFIX)


def shown_names(names: Iterable[str]) -> dict[str, str]:
    """By stored name, in their order; where two would be shown alike, both stay as they are."""
    stored = list(dict.fromkeys(names))
    seen = Counter(map(shown_name, stored))
    return {name: shown_name(name) if seen[shown_name(name)] == 1 else name for name in stored}


def on_one_line(name: str) -> str:
    """A name as a terminal can show it: line ends and their like are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
