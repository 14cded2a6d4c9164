"""A command with names in it: words like ``{lr}`` and texts by name in, the words of one command out."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from orchestrator.errors import SpecError

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")  # braces meant as such, a name, a brace too many


def check_template(words: Sequence[str], known: Iterable[str]) -> None:
    """Refuse names that are not known, and braces that are not paired; ``SpecError``."""
    names = list(known)
    for word in words:
        for piece in _PIECE.finditer(word):
            _check_piece(word, piece, names)


def _check_piece(word: str, piece: re.Match[str], names: Sequence[str]) -> None:
    name = piece.group(1)
    if name is None and piece.group() in ("{", "}"):
        raise SpecError(
            f"The command's argument {word!r} has a single '{piece.group()}'; write {{NAME}} for a value, "
            "{{ and }} for braces."
        )
    if name is not None and name not in names:
        raise SpecError(
            f"The command's argument {word!r} asks for {{{name}}}; there are {', '.join(names)}. Write {{{{ "
            "and }} for braces."
        )


def has_names(word: str) -> bool:
    """Whether a word differs from trial to trial."""
    return any(piece.group(1) is not None for piece in _PIECE.finditer(word))


def names_in(words: Iterable[str]) -> tuple[str, ...]:
    """The names that words ask for, each once."""
    pieces = (piece for word in words for piece in _PIECE.finditer(word))
    return tuple(dict.fromkeys(piece.group(1) for piece in pieces if piece.group(1) is not None))


def filled(word: str, texts: Mapping[str, str]) -> str:
    """The word with the texts in place of their names; what stands in a text is not looked at."""
    return _PIECE.sub(lambda piece: _text(piece, texts), word)


def _text(piece: re.Match[str], texts: Mapping[str, str]) -> str:
    name = piece.group(1)
    return piece.group()[0] if name is None else texts[name]


def text_of(value: Any) -> str:
    """A parameter's value as a command is given it.

    Text as it is; floats by ``repr``, so that they come back the same; others as JSON and TOML write them:
    ``3``, ``true``, ``null``.
    """
    if isinstance(value, str):
        return value
    return repr(float(value)) if isinstance(value, float) else json.dumps(value)


def shown(words: Sequence[str]) -> str:
    """The command on one line, for people: two that differ are shown differently."""
    return " ".join(word if _is_plain(word, "'\" \\") else repr(word) for word in words)


def _is_plain(word: str, special: Container[str]) -> bool:
    return word.isprintable() and word != "" and not any(character in special for character in word)
