"""A large finished study, written in bulk: the history that the benchmarks of the storage start from.

Six parameters of three kinds, five intermediate values and one value a trial; the values are those of a noisy
quadratic, so that samplers have something to find. The rows are those that Optuna itself would have written.

    python benchmarks/large_study.py URL STUDY_NAME N_TRIALS
"""

from __future__ import annotations

import json
import random
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import TrialState

SPACE: dict[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(1e-5, 1e-1, log=True),
    "dropout": FloatDistribution(0.0, 0.9),
    "momentum": FloatDistribution(0.0, 1.0),
    "units": IntDistribution(8, 512),
    "layers": IntDistribution(1, 8),
    "activation": CategoricalDistribution(("relu", "tanh", "gelu")),
}
N_REPORTS = 5
_BATCH = 2_000


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """The same six parameters from a live trial."""
    return {name: trial._suggest(name, distribution) for name, distribution in SPACE.items()}


def loss(params: dict[str, Any], noise: float = 0.0) -> float:
    """A smooth bowl over the six parameters."""
    kind = {"relu": 0.0, "tanh": 0.2, "gelu": 0.1}[params["activation"]]
    terms = ((params["dropout"] - 0.3) ** 2, (params["momentum"] - 0.8) ** 2, params["learning_rate"])
    return sum(terms) + kind + abs(params["units"] - 128) / 512 + abs(params["layers"] - 3) / 8 + noise


def fill(url: str, study_name: str, n_trials: int, seed: int = 0) -> None:
    """Create the study and its trials, all COMPLETE."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = RDBStorage(url)
    study = optuna.create_study(storage=storage, study_name=study_name)
    rng = random.Random(seed)
    first = _first_id(storage)
    texts = {name: distribution_to_json(distribution) for name, distribution in SPACE.items()}
    with storage.engine.begin() as connection:
        for start in range(0, n_trials, _BATCH):
            numbers = range(start, min(start + _BATCH, n_trials))
            for model, rows in _rows(study._study_id, first, numbers, texts, rng).items():
                connection.execute(model.__table__.insert(), rows)
    storage.engine.dispose()


def _first_id(storage: RDBStorage) -> int:
    with storage.engine.connect() as connection:
        top = connection.execute(sa.select(sa.func.max(models.TrialModel.trial_id))).scalar()
    return int(top or 0) + 1


def _rows(
    study_id: int, first: int, numbers: range, texts: dict[str, str], rng: random.Random
) -> dict[Any, list[dict[str, Any]]]:
    rows: dict[Any, list[dict[str, Any]]] = {
        model: []
        for model in (
            models.TrialModel,
            models.TrialParamModel,
            models.TrialValueModel,
            models.TrialIntermediateValueModel,
        )
    }
    finite = models.TrialValueModel.TrialValueType.FINITE
    reported = models.TrialIntermediateValueModel.TrialIntermediateValueType.FINITE
    for number in numbers:
        trial_id = first + number
        began = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=30) + timedelta(seconds=number)
        rows[models.TrialModel].append(
            {
                "trial_id": trial_id,
                "number": number,
                "study_id": study_id,
                "state": TrialState.COMPLETE,
                "datetime_start": began,
                "datetime_complete": began + timedelta(seconds=rng.uniform(1, 60)),
            }
        )
        params = _draw(rng)
        for name, distribution in SPACE.items():
            rows[models.TrialParamModel].append(
                {
                    "trial_id": trial_id,
                    "param_name": name,
                    "param_value": distribution.to_internal_repr(params[name]),
                    "distribution_json": texts[name],
                }
            )
        value = loss(params, rng.gauss(0, 0.01))
        rows[models.TrialValueModel].append(
            {"trial_id": trial_id, "objective": 0, "value": value, "value_type": finite}
        )
        for step in range(N_REPORTS):
            rows[models.TrialIntermediateValueModel].append(
                {
                    "trial_id": trial_id,
                    "step": step,
                    "intermediate_value": value + (N_REPORTS - step) * 0.1,
                    "intermediate_value_type": reported,
                }
            )
    return rows


def _draw(rng: random.Random) -> dict[str, Any]:
    return {
        "learning_rate": 10 ** rng.uniform(-5, -1),
        "dropout": rng.uniform(0.0, 0.9),
        "momentum": rng.uniform(0.0, 1.0),
        "units": rng.randint(8, 512),
        "layers": rng.randint(1, 8),
        "activation": rng.choice(("relu", "tanh", "gelu")),
    }


if __name__ == "__main__":
    fill(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    print(json.dumps({"study": sys.argv[2], "n_trials": int(sys.argv[3])}))
