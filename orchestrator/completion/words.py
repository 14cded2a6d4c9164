"""What may stand on a command line: a parser comes in, its verbs, options and values as plain data go out."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import shorten
from typing import Literal

Kind = Literal["word", "choice", "file", "folder", "command"]
"""Of values: any word, one of some, a path, or a command with its words."""

_KINDS: dict[str, Kind] = {
    "DIR": "folder",
    "FILE": "file",
    "FILE.py:FUNCTION": "file",
    "PATH": "file",
    "CMD": "command",
    "COMMAND": "command",
}
"""By what help calls them."""

_MENU = 70  # columns


@dataclass(frozen=True, slots=True)
class Value:
    """What follows an option, or stands alone; ``choices`` of the kind "choice"."""

    kind: Kind
    name: str
    choices: tuple[str, ...] = ()
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Option:
    """All its spellings; ``value`` is None for one that takes none."""

    flags: tuple[str, ...]
    help: str
    value: Value | None


@dataclass(frozen=True, slots=True)
class Command:
    """A verb, or the whole command line, whose ``verbs`` have such parts of their own.

    ``words`` are the words that lead to it. With ``hands_over``, what stands behind ``--`` is a command line
    of this program again; otherwise it is somebody else's.
    """

    words: tuple[str, ...]
    help: str
    options: tuple[Option, ...]
    values: tuple[Value, ...]
    verbs: tuple[Command, ...]
    hands_over: bool = False

    @property
    def name(self) -> str:
        """Its own word."""
        return self.words[-1]

    def walk(self) -> Iterator[Command]:
        """Itself and all below."""
        yield self
        for verb in self.verbs:
            yield from verb.walk()


def command_of(parser: argparse.ArgumentParser) -> Command:
    """The whole command line."""
    return _command(parser, (parser.prog,), "")


def _command(parser: argparse.ArgumentParser, words: tuple[str, ...], text: str) -> Command:
    shown = [action for action in parser._actions if action.help is not argparse.SUPPRESS]
    verbs = [action for action in shown if isinstance(action, argparse._SubParsersAction)]
    return Command(
        words=words,
        help=text,
        options=tuple(_option(action) for action in shown if action.option_strings),
        values=_values(parser, [one for one in shown if not one.option_strings and one not in verbs]),
        verbs=tuple(verb for action in verbs for verb in _verbs(action, words)),
        hands_over=words[1:] == ("submit",),
    )


def _values(parser: argparse.ArgumentParser, actions: list[argparse.Action]) -> tuple[Value, ...]:
    """Those of the parser, and the names that it leaves to its verb."""
    names = [Value("file", "FILE")] if getattr(parser, "keeps_names", False) else []
    return (*map(_value, actions), *names)


def _verbs(
    action: argparse._SubParsersAction[argparse.ArgumentParser], words: tuple[str, ...]
) -> Iterator[Command]:
    helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
    for name, parser in action.choices.items():
        yield _command(parser, (*words, name), helps.get(name, ""))


def _option(action: argparse.Action) -> Option:
    value = None if action.nargs == 0 else _value(action)
    text = " ".join((action.help or "").replace("%%", "%").split())
    return Option(tuple(action.option_strings), text, value)


def _value(action: argparse.Action) -> Value:
    name = action.metavar if isinstance(action.metavar, str) else action.dest
    choices = tuple(map(str, action.choices or ()))
    kind: Kind = "choice" if choices else _KINDS.get(name, "word")
    return Value(kind, name, choices, optional=action.nargs == "?")


def short(text: str) -> str:
    """A help text as a menu has room for it: its first clause."""
    clause = re.split(r"; | \(|, as ", text)[0]
    return shorten(clause, _MENU, placeholder="…")
