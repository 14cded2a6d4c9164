"""The distributions of parameters: a study and a name in; the one that every trial of it must go with out."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from optuna.distributions import BaseDistribution, json_to_distribution

from orchestrator.sql.schema import trial_params, trials


class KnownDistributions:
    """For each parameter that was asked for, the distribution of one trial that has it; read once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, str], BaseDistribution] = {}  # by study id and name

    def known(self, study_id: int, name: str) -> BaseDistribution | None:
        """That of a parameter, without asking the database."""
        return self._known.get((study_id, name))

    def learned(
        self, c: sa.Connection, study_id: int, name: str, first: BaseDistribution
    ) -> BaseDistribution:
        """That of a parameter; ``first`` is it where no trial has the parameter yet."""
        known = self.known(study_id, name)
        if known is None:
            text = c.execute(_of_one_trial(study_id, name)).scalar()
            known = self._known[study_id, name] = json_to_distribution(text) if text is not None else first
        return known

    def forget(self, study_id: int) -> None:
        """The study is deleted: another one may get its id."""
        self._known = {key: known for key, known in self._known.items() if key[0] != study_id}


def _of_one_trial(study_id: int, name: str) -> sa.Select[Any]:
    joined = trial_params.join(trials, trials.c.trial_id == trial_params.c.trial_id)
    query = sa.select(trial_params.c.distribution_json).select_from(joined)
    return query.where(trials.c.study_id == study_id, trial_params.c.param_name == name).limit(1)
