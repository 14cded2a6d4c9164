"""A search space in a TOML file: a path in, the space out, or one line that says what is wrong where.

::

    lr = { low = 1e-4, high = 0.1, log = true }     # a bound is a float: floats
    units = { low = 16, high = 128, step = 16 }     # all are whole: whole numbers
    optimizer = ["adam", "sgd"]                     # a list: choices

    [dropout]                                       # the same in full; type: float, int or categorical
    type = "float"
    low = 0
    high = 0.5
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from orchestrator.command.space import Space
from orchestrator.errors import SpecError
from orchestrator.toml_file import read_toml

_RANGE = ("low", "high", "log", "step")
_KEYS: Mapping[str, tuple[str, ...]] = {"float": _RANGE, "int": _RANGE, "categorical": ("choices",)}
_MAX_WHOLE = 2**53  # Optuna stores values as floats, which hold whole numbers up to here
_FORMS = "{ low = …, high = … } or a list of choices"


def space_of(given: Space | Mapping[str, BaseDistribution] | str | Path) -> Space:
    """A space, a mapping of Optuna's distributions, or the path of a TOML file, as a space.

    Raises ``SpecError`` when it is none of them, or not a possible one.
    """
    if isinstance(given, Space):
        return given
    if isinstance(given, str | Path):
        return read_space(Path(given))
    if isinstance(given, Mapping):
        return Space(dict(given))
    raise SpecError(
        f"The search space is {given!r}; give the path of a TOML file, or a mapping of names to "
        "optuna.distributions."
    )


def read_space(path: Path) -> Space:
    """The space that the file describes; ``SpecError`` names file, parameter and rule."""
    return space_of_tables(read_toml(path, "name the TOML file of the search space"), str(path))


def space_of_tables(tables: Mapping[str, Any], where: str) -> Space:
    """The space that TOML tables describe; ``SpecError`` begins with ``where`` they stand."""
    try:
        return Space({name: _distribution(name, table) for name, table in tables.items()})
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None


def _distribution(name: str, given: Any) -> BaseDistribution:
    table = {"choices": given} if isinstance(given, list) else given
    if not isinstance(table, dict):
        raise SpecError(f"Parameter '{name}' is {given!r}; write {_FORMS}.")
    kind = _kind(name, table)
    _check_keys(name, table, kind)
    if kind == "categorical":
        return _categorical(name, table["choices"])
    return _range(name, table, kind)


def _kind(name: str, table: Mapping[str, Any]) -> str:
    """What ``type`` says; without it, what the other keys tell."""
    if "type" not in table:
        if "choices" in table:
            return "categorical"
        numbers = (table.get(key) for key in ("low", "high", "step"))
        return "float" if any(isinstance(number, float) for number in numbers) else "int"
    kind = table["type"]
    if not isinstance(kind, str) or kind not in _KEYS:
        raise SpecError(f"Parameter '{name}': type is {kind!r}; choose from {', '.join(_KEYS)}.")
    return kind


def _check_keys(name: str, table: Mapping[str, Any], kind: str) -> None:
    for key, value in table.items():
        if key not in ("type", *_KEYS[kind]):
            is_nested = isinstance(value, dict | list) and "type" not in table
            hint = f'; for a parameter with a dot in its name write "{name}.{key}"' if is_nested else ""
            known = ", ".join(_KEYS[kind])
            raise SpecError(f"Parameter '{name}': unknown key '{key}'; of type {kind} it has {known}{hint}.")
    needed = ("choices",) if kind == "categorical" else ("low", "high")
    missing = [key for key in needed if key not in table]
    if missing:
        raise SpecError(f"Parameter '{name}': {missing[0]} is missing; write {_FORMS}.")


def _categorical(name: str, choices: Any) -> BaseDistribution:
    if not isinstance(choices, list) or not choices:
        raise SpecError(f"Parameter '{name}': choices is {choices!r}; it must be a list of one or more.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of types that Optuna does not store: `Space` refuses them
        return CategoricalDistribution(choices)


def _range(name: str, table: Mapping[str, Any], kind: str) -> BaseDistribution:
    for key in ("low", "high", "step"):
        if key in table:
            _check_number(name, key, table[key], kind)
    low, high, log, step = table["low"], table["high"], table.get("log", False), table.get("step")
    _check_range(name, low, high, log, step)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a high that is no step: said below
        distribution: FloatDistribution | IntDistribution
        if kind == "float":
            distribution = FloatDistribution(low, high, log=log, step=step)
        else:
            distribution = IntDistribution(low, high, log=log, step=1 if step is None else step)
    if distribution.high != high:
        raise SpecError(
            f"Parameter '{name}': steps of {step} from {low} do not meet high, {high}; write high = "
            f"{distribution.high}."
        )
    return distribution


def _check_number(name: str, key: str, value: Any, kind: str) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        raise SpecError(f"Parameter '{name}': {key} is {value!r}; it must be a finite number.")
    if kind == "int" and not (isinstance(value, int) and abs(value) <= _MAX_WHOLE):
        raise SpecError(
            f"Parameter '{name}': {key} is {value!r}; of type int it must be a whole number of at most 2**53."
        )


def _check_range(name: str, low: float, high: float, log: Any, step: float | None) -> None:
    if not isinstance(log, bool):
        raise SpecError(f"Parameter '{name}': log is {log!r}; it must be true or false.")
    if low > high:
        raise SpecError(f"Parameter '{name}': low is {low} and high is {high}; low must not be above high.")
    if log and low <= 0:
        raise SpecError(f"Parameter '{name}': low is {low}; with log = true it must be more than 0.")
    if step is not None and step <= 0:
        raise SpecError(f"Parameter '{name}': step is {step}; it must be more than 0.")
    if log and step is not None:
        raise SpecError(f"Parameter '{name}': it has log and step; give one of them.")
