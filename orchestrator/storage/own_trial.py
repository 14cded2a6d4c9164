"""The trial that a worker is at, as the worker knows it: nobody else changes a running trial of ours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from orchestrator.causes import Cause, described
from orchestrator.sql.schema import trial_params, trial_system_attributes
from orchestrator.sql.upsert import Row
from orchestrator.storage.attempts import CAUSE, Result
from orchestrator.storage.claims import Claim
from orchestrator.storage.rows import ATTRIBUTE_KEY, PARAM_KEY, attribute_row
from orchestrator.storage.stored_trial import local
from orchestrator.storage.trial_writer import Batch

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


@dataclass(frozen=True, slots=True)
class Held:
    """What a trial has and the database has not: rows of parameters, and of what was sampled."""

    params: Sequence[Row]
    relative: Sequence[Row]
    is_all_suggested: bool  # what was sampled says nothing that the parameters do not

    def batches(self) -> list[Batch]:
        """What is worth writing."""
        found = []
        if self.params:
            found.append(Batch(trial_params, self.params, PARAM_KEY, keep=True))
        if self.relative and not self.is_all_suggested:
            found.append(Batch(trial_system_attributes, self.relative, ATTRIBUTE_KEY))
        return found


@dataclass(slots=True)
class OwnTrial:
    """A claimed trial, what is known about its end so far, and what is not written yet."""

    claim: Claim
    trial: FrozenTrial
    cause: Cause = Cause.RETURNED
    error: str = ""
    objective_s: float | None = None
    peak_rss_mib: float | None = None
    cpu_s: float | None = None
    _params: dict[str, Row] = field(default_factory=dict)
    _relative: dict[str, Row] = field(default_factory=dict)

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

    def learn_param(self, name: str, internal: float, distribution: BaseDistribution) -> None:
        """The trial has this parameter now."""
        self.trial.params[name] = distribution.to_external_repr(internal)
        self.trial.distributions[name] = distribution

    def hold_param(self, row: Row) -> None:
        """Keep a parameter that is to be written later."""
        self._params[row["param_name"]] = row

    def hold_relative(self, key: str, text: str) -> None:
        """Keep a piece of what the sampler says of parameters that nobody has asked for yet."""
        self.trial.system_attrs[key] = text
        self._relative[key] = attribute_row(self.claim.trial_id, key, text)

    def held(self) -> Held:
        """What is to be written: parameters, and what was sampled, if not all of that was asked for."""
        return Held(list(self._params.values()), list(self._relative.values()), self._all_are_suggested())

    def _all_are_suggested(self) -> bool:
        texts = [json.loads(row["value_json"]) for row in list(self._relative.values())]
        sampled: dict[str, Any] = json.loads("".join(texts) or "{}")
        return sampled.keys() <= self.trial.params.keys()

    def result(self, state: TrialState, values: Sequence[float] | None) -> Result:
        """The end that the trial is to have, with what is known of this attempt."""
        known = (self.cause, self.objective_s, self.peak_rss_mib, self.cpu_s, self.error)
        return Result(state, values, *known)

    def end(self, result: Result) -> None:
        """The trial has ended so."""
        self.trial.state, self.trial.datetime_complete = result.state, local(result.complete)
        self.trial.values = None if result.values is None else list(result.values)
        if result.error:
            self.trial.system_attrs[CAUSE] = described(result.cause, result.error)

    def is_written(self, held: Held) -> None:
        """This is in the database; another thread may have added something since."""
        for row in held.params:
            self._params.pop(row["param_name"], None)
        for row in held.relative:
            self._relative.pop(row["key"], None)

    def drop_held(self) -> None:
        """What is held cannot be written."""
        self._params.clear()
        self._relative.clear()
