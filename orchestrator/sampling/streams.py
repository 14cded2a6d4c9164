"""One random stream per trial: the study's seed and a trial's number in; seeds, and a seeded sampler, out."""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from orchestrator.sampling.named import make_sampler, plain_name


def stream_seed(study_seed: int, number: int) -> int:
    """The seed of a trial's random streams: from (study seed, trial number), never from worker or attempt."""
    digest = hashlib.blake2b(f"{study_seed}:{number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest)


def seed_libraries(seed: int) -> None:
    """Seed ``random``, and numpy, torch and TensorFlow where they are loaded, for one trial."""
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].random.set_seed(seed)


class TrialSeededSampler(BaseSampler):
    """A sampler made anew for every trial, with the trial's own seed.

    So what a trial draws depends on the study's seed, its number and the history alone. QMC draws one
    sequence over all trials, and a grid is shuffled once: they keep the study's seed.
    """

    def __init__(self, name: str, arguments: Mapping[str, Any], study_seed: int) -> None:
        self._name, self._arguments = name, arguments
        self._study_seed = study_seed
        self._shared = plain_name(name) in ("qmc", "grid")
        self._sampler = self._make(stream_seed(study_seed, -1))

    def _make(self, seed: int) -> BaseSampler:
        return make_sampler(self._name, self._arguments, seed)

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
