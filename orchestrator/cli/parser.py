"""The parser of every verb: argparse with one line per error, and the word that was meant, if one is near."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from orchestrator.nearest import nearest
from orchestrator.timespan import parse_seconds

BAD_INPUT = 2


class Paragraphs(argparse.HelpFormatter):
    """Fills a paragraph that is one long line; keeps one with lines of its own, as examples are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text
        paragraphs = text.strip("\n").split("\n\n")
        return "\n\n".join(p if "\n" in p else fill(p, width, indent) for p in paragraphs)


class Parser(argparse.ArgumentParser):
    """Argparse with one line per error; the parsers of its verbs are of this class too.

    Without any word, a parser that has verbs and does nothing by itself prints its help.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"formatter_class": Paragraphs, **settings})
        self.keeps_names = False  # words that are neither options nor arguments are left to the caller

    def error(self, message: str) -> NoReturn:
        """One line on standard error, and the exit code for bad input."""
        see = " See" if message.endswith("?") else "; see"
        print(f"nano-hpo: {' '.join(message.split())}{see} '{self.prog} --help'.", file=sys.stderr)
        raise SystemExit(BAD_INPUT)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Nothing is unknown to a verb: what is, is refused here, where the verb's options are known."""
        words = sys.argv[1:] if args is None else list(args)
        if not words and self.verbs and self.get_default("handler") is None:
            self.print_help()
            self.exit()
        options, unknown = super().parse_known_args(words, namespace)
        is_names = self.keeps_names and not any(word.startswith("-") for word in unknown)
        if unknown and not is_names:
            self.error(f"unrecognized arguments: {' '.join(unknown)}{_hint(_option(unknown), self.options)}")
        return options, unknown

    @property
    def verbs(self) -> dict[str, Parser]:
        """The parser of each verb; none where this is a verb's own."""
        return next((dict(a.choices or {}) for a in self._actions if _has_verbs(a)), {})

    @property
    def options(self) -> list[str]:
        """All options, as they are written."""
        return [text for action in self._actions for text in action.option_strings]

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        known = [str(choice) for choice in action.choices]
        hint, all_of_them = _hint(str(value), known), ", ".join(known)
        if _has_verbs(action):
            self.error(f"there is no verb '{value}'{hint or f': {all_of_them}'}")
        raise argparse.ArgumentError(action, f"'{value}' is none of {all_of_them}{hint}")


def seconds(text: str) -> float:
    """The ``type`` of an option that takes a length of time."""
    try:
        return parse_seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _has_verbs(action: argparse.Action) -> bool:
    return isinstance(action, argparse._SubParsersAction)


def _option(words: Sequence[str]) -> str:
    """The first one that looks like an option, without its value."""
    return next((word.partition("=")[0] for word in words if word.startswith("-")), "")


def _hint(word: str, known: Iterable[str]) -> str:
    """A question for the known word that is nearest, if one is near."""
    near = nearest(word, known)
    return f"; did you mean {near}?" if near else ""
