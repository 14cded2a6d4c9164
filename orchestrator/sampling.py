"""Samplers and pruners: a name and its arguments in, Optuna's object out; one random stream per trial."""

from __future__ import annotations

import difflib
import hashlib
import inspect
import random
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna import Study, pruners, samplers
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from orchestrator.errors import SpecError
from orchestrator.flat_pruners import (
    FlatHyperbandPruner,
    FlatMedianPruner,
    FlatPercentilePruner,
    FlatSuccessiveHalvingPruner,
)
from orchestrator.flat_tpe import FlatTPESampler

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
    arguments = dict(arguments)
    if kind is samplers.PartialFixedSampler:
        arguments["base_sampler"] = make_sampler(arguments.get("base_sampler", "tpe"), {}, seed)
    elif seed is not None:
        arguments.setdefault("seed", seed)
    made: BaseSampler = _build(kind, _plain(name), arguments)
    return made


def make_pruner(name: str, arguments: Mapping[str, Any]) -> pruners.BasePruner:
    """The pruner of that name. ``patient`` takes ``wrapped_pruner``, the name of another one."""
    kind = _find(PRUNERS, name, "pruner")
    arguments = dict(arguments)
    if kind is pruners.PatientPruner:
        arguments["wrapped_pruner"] = make_pruner(arguments.get("wrapped_pruner", "none"), {})
    made: pruners.BasePruner = _build(kind, _plain(name), arguments)
    return made


def _plain(name: str) -> str:
    """``TPESampler``, ``cma-es`` and ``CmaEs`` mean what one expects."""
    word = name.lower().replace("-", "").replace("_", "")
    word = word.removesuffix("sampler").removesuffix("pruner")
    return _ALIASES.get(word, word)


def _find(table: Mapping[str, type[Any]], name: str, what: str) -> type[Any]:
    kind = table.get(_plain(name))
    if kind is None:
        near = difflib.get_close_matches(_plain(name), table, n=1)
        hint = f"; did you mean {near[0]}?" if near else "."
        raise SpecError(f"There is no {what} '{name}'; choose from {', '.join(table)}{hint}")
    return kind


def _build(kind: type[Any], name: str, arguments: dict[str, Any]) -> Any:
    accepted = [word for word in inspect.signature(kind).parameters if word not in ("args", "kwargs")]
    unknown = [word for word in arguments if word not in accepted]
    if unknown:
        raise SpecError(
            f"{kind.__name__} takes no argument '{unknown[0]}'; it takes {', '.join(accepted) or 'none'}."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return kind(**arguments)
    except ImportError as error:
        packages = _PACKAGES.get(name, "its packages")
        raise SpecError(f"{kind.__name__} needs {packages}: pip install {packages}.") from error
    except Exception as error:  # each checks, or does not check, in a way of its own
        raise SpecError(f"{kind.__name__} refuses its arguments: {error}") from error


def require_packages(name: str) -> None:
    """Refuse a sampler or pruner whose packages are missing before a run starts."""
    from importlib.util import find_spec

    missing = [word for word in _PACKAGES.get(_plain(name), "").split() if find_spec(word) is None]
    if missing:
        raise SpecError(f"'{name}' needs {' and '.join(missing)}: pip install {' '.join(missing)}.")


def stream_seed(study_seed: int, number: int) -> int:
    """The seed of a trial's random streams: from (study seed, trial number), never from worker or attempt."""
    digest = hashlib.blake2b(f"{study_seed}:{number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest)


def seed_libraries(seed: int) -> None:
    """Seed ``random``, and numpy and torch where they are loaded, for one trial."""
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


class TrialSeededSampler(BaseSampler):
    """A sampler made anew for every trial, with the trial's own seed.

    So what a trial draws depends on the study's seed, its number and the history alone. QMC draws one
    sequence over all trials and keeps the study's seed.
    """

    def __init__(self, name: str, arguments: Mapping[str, Any], study_seed: int) -> None:
        self._make: Callable[[int], BaseSampler] = lambda seed: make_sampler(name, arguments, seed)
        self._study_seed = study_seed
        self._shared = _plain(name) == "qmc"
        self._sampler = self._make(stream_seed(study_seed, -1))

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Begin the trial's stream."""
        if not self._shared:
            self._sampler = self._make(stream_seed(self._study_seed, trial.number))
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """As the sampler of that name does."""
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As the sampler of that name does."""
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """As the sampler of that name does."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """As the sampler of that name does."""
        self._sampler.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        """Nothing to do: each trial brings its own seed."""

    def __str__(self) -> str:
        return str(self._sampler)
