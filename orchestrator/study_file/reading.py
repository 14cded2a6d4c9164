"""A study file: a path and the settings that there are in; what the file says out, checked key by key."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.errors import SpecError
from orchestrator.jobs.settings import STUDY_KEYS, study_settings
from orchestrator.nearest import nearest
from orchestrator.study_file.secrets import require_private
from orchestrator.study_file.setting import Setting, shown
from orchestrator.toml_file import read_toml, respelled

SUFFIX = ".toml"
OWN_KEYS = ("objective", "command", "space", "slurm")  # beside the flags, which have none of these forms
ONE_LAUNCH = ("resume", "json", "quiet")  # flags that say what one launch is to do, not what the study is


@dataclass(frozen=True, slots=True)
class StudyFile:
    """What a file says. ``options`` are settings as their flags would give them, by their names.

    space: a file, or the tables of the space. slurm: settings of ``nano-hpo submit`` by their flags.
    """

    path: Path | None = None  # None: there is no file
    objective: str | None = None
    command: tuple[str, ...] | None = None
    space: Path | Mapping[str, Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    slurm: Mapping[str, Any] = field(default_factory=dict)


def is_study_file(word: str | None) -> bool:
    """Whether the word names a study file, and not FILE.py:FUNCTION."""
    return word is not None and word.lower().endswith(SUFFIX)


def read_study_file(path: Path, known: Iterable[Setting]) -> StudyFile:
    """The file as it is. ``SpecError`` names file, key and rule, in one line and without a password."""
    tables = read_toml(path, f"'nano-hpo init study FILE.py:FUNCTION {path.name}' writes one")
    require_private(path, tables)
    try:
        return _study(path, respelled(tables, "-", "_"), {setting.name: setting for setting in known})
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None


def _study(path: Path, values: dict[str, Any], known: Mapping[str, Setting]) -> StudyFile:
    settable = [name for name in known if name not in ONE_LAUNCH]
    for name in values:
        _require_known(name, (*OWN_KEYS, *settable))
    study = StudyFile(
        path,
        objective=_objective(values.pop("objective", None), path.parent),
        command=_command(values.pop("command", None)),
        space=_space(values.pop("space", None), path.parent, settable),
        slurm=_slurm(values.pop("slurm", {}), settable),
        options={name: _option(known[name], value, path.parent) for name, value in values.items()},
    )
    if study.objective is not None and (study.command is not None or study.space is not None):
        what = "command" if study.command is not None else "space"
        raise SpecError(f"there are 'objective' and '{what}': a Python objective needs neither; write one.")
    return study


def _require_known(name: str, known: tuple[str, ...]) -> None:
    if name in ONE_LAUNCH:
        raise SpecError(f"'{name}' is for one launch; write it on the command line: --{name}.")
    if name not in known:
        near = nearest(name, known)
        advice = f"did you mean '{near}'?" if near else "'nano-hpo init study' writes a file with all."
        raise SpecError(f"'{name}' is no setting; {advice}")


def beside(folder: Path, text: str) -> str:
    """A relative path in a file of ``folder``, as one would write it in the current folder."""
    is_fixed = not text or text.startswith("~") or Path(text).is_absolute()
    return text if is_fixed or folder == Path() else str(folder / text)


def _objective(given: Any, folder: Path) -> str | None:
    if given is not None and (not isinstance(given, str) or not given.strip() or "\0" in given):
        raise SpecError(f"objective is {shown(given)}; it must be a text, as 'train.py:objective'.")
    return None if given is None else beside(folder, given)


def _command(given: Any) -> tuple[str, ...] | None:
    if given is None:
        return None
    try:
        words = shlex.split(given) if isinstance(given, str) else given
    except ValueError as error:  # a quotation mark without its other one
        raise SpecError(f"command is {shown(given)}: {str(error).lower()}; write a list of words.") from None
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise SpecError(
            f"command is {shown(given)}; it must be a list of words, as ['./train.sh', '{{lr}}']."
        )
    return tuple(words)


def _space(given: Any, folder: Path, settable: Iterable[str]) -> Path | Mapping[str, Any] | None:
    if isinstance(given, str) and given and "\0" not in given:
        return _at_home(beside(folder, given))
    if given is not None and not isinstance(given, dict):
        raise SpecError(f"space is {shown(given)}; it must be a table of parameters, or the path of a file.")
    for name, value in (given or {}).items():
        if not isinstance(value, dict | list):
            _require_not_misplaced(name, "space", settable)
    return given


def _at_home(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # no such user
        return Path(text)


def _slurm(given: Any, settable: Iterable[str]) -> dict[str, Any]:
    for name in given if isinstance(given, dict) else ():
        if name.replace("_", "-") not in STUDY_KEYS:
            _require_not_misplaced(name, "slurm", settable)
    return study_settings(given, "[slurm]")


def _require_not_misplaced(name: str, table: str, settable: Iterable[str]) -> None:
    """A setting below the header of a table belongs to that table, which is easily overlooked."""
    if name.replace("-", "_") in settable:
        raise SpecError(f"'{name}' stands in [{table}]; write it above the first [table] of the file.")


def _option(setting: Setting, given: Any, folder: Path) -> Any:
    value = setting.value(given)
    return beside(folder, value) if setting.name == "server" and value.strip() else value
