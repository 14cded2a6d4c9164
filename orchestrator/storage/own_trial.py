"""The trial that a worker is at, as the worker knows it: nobody else changes a running trial of ours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.trial import FrozenTrial, TrialState

from orchestrator.sql.schema import trial_params, trial_system_attributes
from orchestrator.storage.attempts import CAUSE, Result
from orchestrator.storage.claims import Batch, Claim
from orchestrator.storage.rows import ATTRIBUTE_KEY, PARAM_KEY, attribute_row, param_row
from orchestrator.storage.stored_trial import local

RELATIVE = "tpe:relative_params:"  # Optuna's TPE writes what it has sampled here for the other workers


def new_trial(claim: Claim) -> FrozenTrial:
    """The trial that a claim has just made."""
    return FrozenTrial(
        number=claim.number,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=local(claim.start),
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
        trial_id=claim.trial_id,
    )


@dataclass(slots=True)
class OwnTrial:
    """A claimed trial, what is known about its end so far, and what is not written yet."""

    claim: Claim
    trial: FrozenTrial
    cause: str = "returned"
    error: str = ""
    objective_s: float | None = None
    peak_rss_mib: float | None = None
    _params: dict[str, dict[str, Any]] = field(default_factory=dict)
    _relative: dict[str, Any] = field(default_factory=dict)

    def snapshot(self) -> FrozenTrial:
        """The trial as it is now, in an object of the caller's own."""
        trial = self.trial
        return FrozenTrial(
            number=trial.number,
            state=trial.state,
            value=None,
            values=trial.values,
            datetime_start=trial.datetime_start,
            datetime_complete=trial.datetime_complete,
            params=dict(trial.params),
            distributions=dict(trial.distributions),
            user_attrs=dict(trial.user_attrs),
            system_attrs=dict(trial.system_attrs),
            intermediate_values=dict(trial.intermediate_values),
            trial_id=trial._trial_id,
        )

    def hold_param(self, name: str, internal: float, distribution: BaseDistribution) -> str:
        """Take a parameter that is to be written later; returns its distribution as JSON."""
        text = distribution_to_json(distribution)
        self._params[name] = param_row(self.claim.trial_id, name, internal, text)
        self.trial.params[name] = distribution.to_external_repr(internal)
        self.trial.distributions[name] = distribution
        return text

    def hold_relative(self, key: str, text: str) -> None:
        """Take a piece of what the sampler says of parameters that nobody has asked for yet."""
        self.trial.system_attrs[key] = self._relative[key] = text

    @property
    def holds(self) -> bool:
        """Whether something is to be written."""
        return bool(self._params or self._relative)

    def held(self) -> Sequence[Batch]:
        """What is to be written: parameters, and what was sampled, if not all of that was asked for."""
        rows = [attribute_row(self.claim.trial_id, *item) for item in self._relative.items()]
        batches = []
        if self._params:
            batches.append(Batch(trial_params, list(self._params.values()), PARAM_KEY, keep=True))
        if rows and not self._all_are_suggested():
            batches.append(Batch(trial_system_attributes, rows, ATTRIBUTE_KEY))
        return batches

    def _all_are_suggested(self) -> bool:
        sampled: dict[str, Any] = json.loads("".join(self._relative.values()))
        return sampled.keys() <= self.trial.params.keys()

    def end(self, result: Result) -> None:
        """The trial has ended so."""
        self.trial.state, self.trial.datetime_complete = result.state, local(result.complete)
        self.trial.values = None if result.values is None else list(result.values)
        if result.error:
            self.trial.system_attrs[CAUSE] = result.error

    def is_written(self) -> None:
        """All of :meth:`held` is in the database."""
        self._params.clear()
        self._relative.clear()
