"""Settings of `nano-hpo submit`: the user's TOML file, a profile's name and flags in; one mapping out.

::

    # ~/.config/nano-hpo/slurm.toml ($XDG_CONFIG_HOME is respected)
    [defaults]
    account = "project"
    setup = ["module load python/3.11", 'source "$HOME/venvs/search/bin/activate"']

    [profiles.short]
    partition = "express"
    time = "00:30:00"

Keys are the flags of `nano-hpo submit` without their dashes. The table [slurm] of a study file has the same
ones, also with ``_`` for ``-``, and ``profile`` and ``database`` with them.
"""

from __future__ import annotations

import datetime
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import SpecError
from orchestrator.nearest import nearest
from orchestrator.storage_url import masked
from orchestrator.toml_file import respelled

_LISTS = ("setup", "directive")
KEYS: Mapping[str, type] = {
    **dict.fromkeys(("nodes", "cpus-per-task", "ntasks-per-node", "cores-per-trial", "max-requeues"), int),
    **dict.fromkeys(("time", "array", "mem", "hint", "job-name", "account", "partition", "qos"), str),
    **dict.fromkeys(("constraint", "dependency", "signal", "server"), str),
    **dict.fromkeys(("exclusive", "mpirun"), bool),
    **dict.fromkeys(_LISTS, list),
}
STUDY_KEYS: Mapping[str, type] = {**KEYS, "profile": str, "database": str}
_AS_TEXT = ("time", "array", "mem", "signal")  # that people write as numbers
_NAMES = {int: "a whole number", str: "a text", bool: "true or false", list: "a text or a list of texts"}


def settings_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the settings are, if there are any."""
    home = environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()
    return Path(home) / "nano-hpo" / "slurm.toml"


def merged(
    flags: Mapping[str, Any], profile: str | None, file: Path, study: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Flags win over ``study``, that over the profile, that over the defaults; setup and directives add up.

    A flag that is None was not given. ``study`` is what a study file says. Raises ``SpecError`` for a key
    that is none, by its name.
    """
    given = {key: value for key, value in flags.items() if value is not None}
    levels = [*read_levels(file, profile), study or {}, given]
    found: dict[str, Any] = {}
    for level in levels:
        for key, value in level.items():
            found[key] = [*found.get(key, []), *value] if key in _LISTS else value
    return found


def read_levels(file: Path, profile: str | None) -> list[dict[str, Any]]:
    """The defaults and the profile that the file has."""
    written = _read(file)
    profiles = written.get("profiles", {})
    if profile is not None and profile not in profiles:
        there = f"it has {', '.join(sorted(profiles))}" if profiles else "it has none"
        raise SpecError(f"There is no profile '{profile}' in {file}; {there}.")
    for name in profiles:
        _checked(profiles[name], f"[profiles.{name}] of {file}")
    chosen = [_checked(written.get("defaults", {}), f"[defaults] of {file}")]
    return (
        chosen
        if profile is None
        else [*chosen, _checked(profiles[profile], f"[profiles.{profile}] of {file}")]
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        written = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SpecError(f"{file} cannot be read: {error}.") from None
    _require_known(written, ("defaults", "profiles"), str(file), "table")
    profiles = written.get("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(one, dict) for one in profiles.values()):
        raise SpecError(f"'profiles' in {file} must be tables, as [profiles.NAME].")
    return written


def study_settings(table: Any, where: str) -> dict[str, Any]:
    """The table [slurm] of a study file, by the names of the flags; ``database = true`` is the flag alone."""
    if isinstance(table, dict):
        table = respelled(table, "_", "-")
        database = table.get("database")
        if isinstance(database, bool):
            table = {**table, "database": ""} if database else _without(table, "database")
    return _checked(table, where, STUDY_KEYS)


def _without(table: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {one: value for one, value in table.items() if one != key}


def _checked(table: Any, where: str, known: Mapping[str, type] = KEYS) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise SpecError(f"{where} must be a table.")
    _require_known(table, known, where, "key")
    return {key: _value(key, value, where) for key, value in table.items()}


def _value(key: str, value: Any, where: str) -> Any:
    kind = STUDY_KEYS[key]
    if key in _AS_TEXT and isinstance(value, int | datetime.time) and not isinstance(value, bool):
        return str(value)  # TOML reads 04:00:00 without quotes as a time of day
    if key in _LISTS and isinstance(value, str):
        return [value]
    fits = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
    if not fits or (kind is list and not all(isinstance(one, str) for one in value)):
        raise SpecError(f"'{key}' in {where} is {masked(repr(value))}; it must be {_NAMES[kind]}.")
    return value


def _require_known(table: Mapping[str, Any], known: Any, where: str, noun: str) -> None:
    for key in table:
        if key in known:
            continue
        near = nearest(key.replace("_", "-"), known)
        advice = f"did you mean '{near}'?" if near else f"it may have {', '.join(known)}."
        raise SpecError(f"There is no {noun} '{key}' in {where}; {advice}")
