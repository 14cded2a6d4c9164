"""The words on a plot: names of parameters and choices in, short, distinct, literal labels out."""

from __future__ import annotations

import html
from collections.abc import Iterable

from orchestrator.names import shown_name

__all__ = ["choice_labels", "literal", "name_labels", "shown_name"]

_MAX_NAME = 28
_MAX_CHOICE = 24


def name_labels(names: Iterable[str]) -> dict[str, str]:
    """A label for every parameter name; different names get different labels."""
    return _distinct({name: _short(shown_name(name), _MAX_NAME) for name in sorted(names)})


def choice_labels(choices: Iterable[object]) -> dict[str, str]:
    """A label for every choice that is text; numbers, booleans and None show themselves."""
    texts = [choice for choice in choices if isinstance(choice, str)]
    return _distinct({text: _short(text, _MAX_CHOICE) for text in texts})


def literal(text: object) -> str:
    """Text that plotly shows as it is: its labels understand some HTML, so ours is escaped."""
    return html.escape(str(text), quote=False)


def _short(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    head = (limit - 1) // 2
    return f"{text[:head]}…{text[head + 1 - limit :]}"


def _distinct(labels: dict[str, str]) -> dict[str, str]:
    """The labels, escaped; where two would look alike, the later one shows its whole text or a number."""
    used: set[str] = set()
    result: dict[str, str] = {}
    for text, label in labels.items():
        candidates = (label, text, *(f"{text} ({i})" for i in range(2, len(labels) + 2)))
        chosen = next(candidate for candidate in candidates if candidate not in used)
        used.add(chosen)
        result[text] = literal(chosen)
    return result
