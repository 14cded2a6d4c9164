"""Completion scripts for shells: the command line's parser in; text for bash, zsh or fish out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.completion.bash import render_bash
from orchestrator.completion.fish import render_fish
from orchestrator.completion.words import Command, command_of
from orchestrator.completion.zsh import render_zsh

__all__ = ["RENDERERS", "Command", "command_of"]

RENDERERS: Mapping[str, Callable[[Command], str]] = {
    "bash": render_bash,
    "zsh": render_zsh,
    "fish": render_fish,
}
