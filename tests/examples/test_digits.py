"""The main example under plain Optuna."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import optuna
import pytest

FILE = Path(__file__).parents[2] / "examples" / "digits.py"


@pytest.fixture(scope="module")
def digits() -> ModuleType:
    spec = spec_from_file_location("digits_example", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_plain_optuna_runs_the_example(digits: ModuleType) -> None:
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1), pruner=optuna.pruners.NopPruner())
    study.optimize(digits.objective, n_trials=3)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 3
    assert all(len(trial.intermediate_values) == digits.EPOCHS for trial in study.trials)
    assert study.best_value < 0.2


def test_a_good_network_misreads_few_digits_and_the_same_ones_each_time(digits: ModuleType) -> None:
    parameters = {"model": "network", "alpha": 1e-4, "units": 96, "layers": 1}
    parameters |= {"activation": "relu", "learning_rate": 5e-3}
    first, second = (digits.objective(optuna.trial.FixedTrial(parameters)) for _ in range(2))
    assert first == second
    assert 0 < first < 0.04


def test_a_hopeless_trial_is_pruned(digits: ModuleType) -> None:
    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(upper=0.0))
    study.enqueue_trial({"model": "linear"})
    study.optimize(digits.objective, n_trials=1)
    assert study.trials[0].state.name == "PRUNED"
    assert len(study.trials[0].intermediate_values) == 1
