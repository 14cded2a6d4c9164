"""Samplers and pruners by name: every one that Optuna ships; one random stream per trial."""

from __future__ import annotations

import importlib.util
import inspect

import optuna
import pytest

from orchestrator.errors import SpecError
from orchestrator.sampling.named import (
    PRUNERS,
    SAMPLERS,
    make_pruner,
    make_sampler,
    require_packages,
)
from orchestrator.sampling.streams import TrialSeededSampler, stream_seed

ARGUMENTS = {
    "grid": {"search_space": {"x": [0.0, 0.25, 0.5, 0.75]}},
    "partialfixed": {"fixed_params": {"x": 0.25}, "base_sampler": "random"},
    "percentile": {"percentile": 25.0},
    "threshold": {"lower": 0.0},
    "patient": {"wrapped_pruner": "median", "patience": 2},
}
ABSTRACT = {"BaseSampler", "BaseGASampler", "BasePruner"}


def shipped(module):
    return {
        name for name in module.__all__ if inspect.isclass(getattr(module, name)) and name not in ABSTRACT
    }


def test_every_sampler_and_pruner_of_optuna_has_a_name():
    """Some are a ``Flat…`` of ours: Optuna's own, at a cost that does not grow with the history."""
    assert {kind.__name__.removeprefix("Flat") for kind in SAMPLERS.values()} == shipped(optuna.samplers)
    assert {kind.__name__.removeprefix("Flat") for kind in PRUNERS.values()} == shipped(optuna.pruners)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_runs_a_trial(name):
    if name == "gp" and importlib.util.find_spec("torch") is None:
        with pytest.raises(SpecError, match="torch"):
            require_packages(name)
        return
    require_packages(name)
    sampler = TrialSeededSampler(name, ARGUMENTS.get(name, {}), study_seed=7)
    study = optuna.create_study(sampler=sampler)
    for _ in range(2):
        trial = study.ask()
        x = trial.suggest_int("x", 0, 5) if name == "bruteforce" else trial.suggest_float("x", 0, 1)
        study.tell(trial, x)
    assert len(study.trials) == 2


@pytest.mark.parametrize("name", PRUNERS)
def test_every_pruner_decides(name):
    study = optuna.create_study(pruner=make_pruner(name, ARGUMENTS.get(name, {})))
    trial = study.ask()
    trial.report(0.5, 0)
    assert trial.should_prune() in (True, False)


@pytest.mark.parametrize("name", ["TPE", "TPESampler", "tpe-sampler", "tpe"])
def test_names_are_read_generously(name):
    assert isinstance(make_sampler(name, {}, 1), optuna.samplers.TPESampler)


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(SpecError, match="did you mean random"):
        make_sampler("randon", {}, 1)
    with pytest.raises(SpecError, match="did you mean hyperband"):
        make_pruner("hyperbnd", {})


def test_a_misspelt_argument_is_answered_with_those_there_are():
    with pytest.raises(SpecError, match="n_startup_trials"):
        make_sampler("tpe", {"startup": 3}, 1)
    with pytest.raises(SpecError, match="search_space"):
        make_sampler("grid", {}, 1)
    with pytest.raises(SpecError, match="refuses"):
        make_pruner("percentile", {"percentile": 500.0})


def test_a_trials_stream_depends_on_study_seed_and_number_alone():
    def draw(study_seed: int, skip: int) -> float:
        study = optuna.create_study(sampler=TrialSeededSampler("random", {}, study_seed))
        for _ in range(skip):
            study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL))
        return study.ask().suggest_float("x", 0, 1)

    assert draw(3, 2) == draw(3, 2)
    assert len({draw(3, 0), draw(3, 1), draw(4, 0)}) == 3
    assert stream_seed(3, 1) != stream_seed(31, 0)


def test_a_seed_among_the_arguments_of_a_sampler_is_refused():
    with pytest.raises(SpecError, match="--seed"):
        make_sampler("tpe", {"seed": 3}, seed=1)


def test_a_grid_visits_each_of_its_points_once_also_by_several_workers():
    """Each worker has a sampler, and each trial a seed, of its own: the grid is one all the same."""
    grid = {"search_space": {"k": list(range(10))}}
    samplers = [TrialSeededSampler("grid", grid, study_seed=7) for _ in range(2)]
    study = optuna.create_study()
    for number in range(10):
        study.sampler = samplers[number % 2]
        study.optimize(lambda trial: trial.suggest_int("k", 0, 9), n_trials=1)
    assert sorted(trial.value for trial in study.trials) == list(range(10))
