"""The program that a command names: the command's words in; its check, and a name for its study, out."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator.command.template import has_names
from orchestrator.errors import ObjectiveError, SpecError

_INTERPRETERS = {"python", "sh", "bash", "zsh", "env", "perl", "ruby", "node", "julia", "Rscript"}


def words_of(command: Any) -> tuple[str, ...]:
    """The command's words as text; ``SpecError`` when it is not a list of words that a program can take."""
    if isinstance(command, str | bytes) or not isinstance(command, Sequence) or not command:
        raise SpecError(f"The command is {command!r}; give its words, as ['./train.sh', '--lr', '{{lr}}'].")
    for word in command:
        if not isinstance(word, str | Path) or "\0" in str(word):
            raise SpecError(f"The command has {word!r} among its words; each must be text without NUL.")
    return tuple(map(str, command))


def require_program(word: str) -> None:
    """Refuse a program that is not there or may not be run, as far as its name tells; ``ObjectiveError``."""
    if has_names(word):
        return
    if not word:
        raise ObjectiveError("The command's first word is empty; it must name a program.")
    if "/" not in word:
        if shutil.which(word) is None:
            raise ObjectiveError(
                f"There is no program '{word}' on PATH; for one of this folder write ./{word}."
            )
        return
    if not Path(word).is_file():
        raise ObjectiveError(f"There is no file {word}; name the program to run.")
    if not os.access(word, os.X_OK):
        raise ObjectiveError(f"{word} is not executable; chmod +x {word}, or name its interpreter before it.")


def study_name_of(words: Sequence[str]) -> str:
    """``train`` for ``./train.sh --lr {lr}``, and for ``python3 train.py``: the stem of what runs."""
    is_interpreter = re.sub(r"[\d.]+$", "", Path(words[0]).name) in _INTERPRETERS
    scripts = [word for word in words[1:] if is_interpreter and _is_file(word)]
    return Path(scripts[0] if scripts else words[0]).stem


def _is_file(word: str) -> bool:
    try:
        return Path(word).is_file()
    except OSError:  # too long for a path: code, after -c
        return False
