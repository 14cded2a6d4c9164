"""A parser in; its flags as the settings that a study file may have, and those that were typed, out."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.cli.parser import seconds
from orchestrator.study_file.setting import Setting

_Parse = Callable[[Any, Any], tuple[argparse.Namespace, list[str]]]
_KINDS: Mapping[Any, type] = {
    int: int,
    float: float,
    seconds: float,
    Path: Path,
}  # what a flag's `type` may be


def given(parser: argparse.ArgumentParser, parse: _Parse, words: Sequence[str]) -> dict[str, Any]:
    """The flags that are among the words, with their values: nothing that is a default."""
    with _no_defaults(parser):
        found, _ = parse(list(words), None)
    names = {action.dest for action in _flags(parser)}
    return {name: value for name, value in vars(found).items() if name in names}


@contextmanager
def _no_defaults(parser: argparse.ArgumentParser) -> Iterator[None]:
    """A flag that is not typed leaves no trace in the options."""
    defaults = [(action, action.default) for action in parser._actions]
    try:
        for action, _ in defaults:
            action.default = argparse.SUPPRESS
        yield
    finally:
        for action, default in defaults:
            action.default = default


def settings_of(parser: argparse.ArgumentParser) -> tuple[Setting, ...]:
    """Every flag as a setting, in the order of the help."""
    groups = {action: group.title for group in parser._action_groups for action in group._group_actions}
    return tuple(_setting(action, groups[action] or "") for action in _flags(parser))


def _flags(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [one for one in parser._actions if one.option_strings and one.dest != "help"]


def _setting(action: argparse.Action, group: str) -> Setting:
    long_names = [word for word in action.option_strings if word.startswith("--")]
    return Setting(
        name=action.dest,
        flag=long_names[0],
        kind=_kind(action),
        group=group,
        help=(action.help or "").replace("%%", "%"),
        example=str(action.metavar or ""),
        default=action.default,
        choices=tuple(action.choices or ()),
        repeats=isinstance(action, argparse._AppendAction),
        is_arguments=action.metavar == "KEY=VALUE",
        is_time=action.type is seconds,
    )


def _kind(action: argparse.Action) -> type:
    if action.nargs == 0:
        return bool
    return _KINDS.get(action.type, str)
