"""Samplers and pruners by name: a name and its arguments in; Optuna's object, or a flat one like it, out."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna import pruners, samplers
from optuna.samplers import BaseSampler

from orchestrator.errors import SpecError
from orchestrator.nearest import nearest
from orchestrator.sampling.flat_pruners import (
    FlatHyperbandPruner,
    FlatMedianPruner,
    FlatPercentilePruner,
    FlatSuccessiveHalvingPruner,
)
from orchestrator.sampling.flat_tpe import FlatTPESampler

SAMPLERS: Mapping[str, type[BaseSampler]] = {
    "tpe": FlatTPESampler,
    "random": samplers.RandomSampler,
    "gp": samplers.GPSampler,
    "cmaes": samplers.CmaEsSampler,
    "nsgaii": samplers.NSGAIISampler,
    "nsgaiii": samplers.NSGAIIISampler,
    "qmc": samplers.QMCSampler,
    "grid": samplers.GridSampler,
    "bruteforce": samplers.BruteForceSampler,
    "partialfixed": samplers.PartialFixedSampler,
}

PRUNERS: Mapping[str, type[pruners.BasePruner]] = {
    "median": FlatMedianPruner,
    "none": pruners.NopPruner,
    "percentile": FlatPercentilePruner,
    "halving": FlatSuccessiveHalvingPruner,
    "hyperband": FlatHyperbandPruner,
    "threshold": pruners.ThresholdPruner,
    "patient": pruners.PatientPruner,
    "wilcoxon": pruners.WilcoxonPruner,
}

_ALIASES = {"nop": "none", "successivehalving": "halving"}
_PACKAGES = {"gp": "torch scipy", "cmaes": "cmaes", "qmc": "scipy", "wilcoxon": "scipy"}


def make_sampler(name: str, arguments: Mapping[str, Any], seed: int | None) -> BaseSampler:
    """The sampler of that name; ``SpecError`` names what is wrong with name or arguments.

    ``partialfixed`` takes ``fixed_params`` and ``base_sampler``, the name of another one.
    """
    kind = _find(SAMPLERS, name, "sampler")
    if "seed" in arguments:
        raise SpecError("A sampler's seed is derived from the run's for each trial: give --seed N (seed=N).")
    arguments = dict(arguments)
    if kind is samplers.PartialFixedSampler:
        arguments["base_sampler"] = make_sampler(arguments.get("base_sampler", "tpe"), {}, seed)
    elif seed is not None and "seed" in inspect.signature(kind).parameters:
        arguments["seed"] = seed
    made: BaseSampler = _build(kind, plain_name(name), arguments)
    return made


def make_pruner(name: str, arguments: Mapping[str, Any]) -> pruners.BasePruner:
    """The pruner of that name. ``patient`` takes ``wrapped_pruner``, the name of another one."""
    kind = _find(PRUNERS, name, "pruner")
    arguments = dict(arguments)
    if kind is pruners.PatientPruner:
        arguments["wrapped_pruner"] = make_pruner(arguments.get("wrapped_pruner", "none"), {})
    made: pruners.BasePruner = _build(kind, plain_name(name), arguments)
    return made


def plain_name(name: str) -> str:
    """``TPESampler``, ``cma-es`` and ``CmaEs`` mean what one expects."""
    word = name.lower().replace("-", "").replace("_", "")
    word = word.removesuffix("sampler").removesuffix("pruner")
    return _ALIASES.get(word, word)


def _find(table: Mapping[str, type[Any]], name: str, what: str) -> type[Any]:
    kind = table.get(plain_name(name))
    if kind is None:
        near = nearest(plain_name(name), table)
        hint = f"; did you mean {near}?" if near else "."
        raise SpecError(f"There is no {what} '{name}'; choose from {', '.join(table)}{hint}")
    return kind


def _build(kind: type[Any], name: str, arguments: dict[str, Any]) -> Any:
    title = kind.__name__.removeprefix("Flat")
    accepted = [word for word in inspect.signature(kind).parameters if word not in ("args", "kwargs")]
    unknown = [word for word in arguments if word not in accepted]
    if unknown:
        raise SpecError(
            f"{title} takes no argument '{unknown[0]}'; it takes {', '.join(accepted) or 'none'}."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return kind(**arguments)
    except ImportError as error:
        packages = _PACKAGES.get(name, "its packages")
        raise SpecError(f"{title} needs {packages}: pip install {packages}.") from error
    except Exception as error:  # each checks, or does not check, in a way of its own
        raise SpecError(f"{title} refuses its arguments: {error}") from error


def require_packages(name: str) -> None:
    """Refuse a sampler or pruner whose packages are missing before a run starts."""
    from importlib.util import find_spec

    missing = [word for word in _PACKAGES.get(plain_name(name), "").split() if find_spec(word) is None]
    if missing:
        raise SpecError(f"'{name}' needs {' and '.join(missing)}: pip install {' '.join(missing)}.")
