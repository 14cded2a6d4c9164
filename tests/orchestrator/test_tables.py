"""The tables of trials: those of Optuna, made by columns, and strict JSON."""

from __future__ import annotations

import json
import math
import warnings

import optuna
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from orchestrator import open_storage
from orchestrator.results import _write_array, dumps
from orchestrator.trial_table import trial_table

ATTRIBUTES = (
    "number", "value", "datetime_start", "datetime_complete", "duration", "params", "user_attrs", "state",
)  # fmt: skip


def mixed(trial: optuna.Trial) -> float:
    """Conditional parameters of all kinds; every fourth trial pruned, one failed, some with notes."""
    kind = trial.suggest_categorical("kind", ["adam", None, 3])
    x = trial.suggest_float("x", 0, 1)
    if trial.number % 2:
        trial.suggest_int("layers", 1, 5)
        trial.set_user_attr("note", {"a": [trial.number]})
    trial.set_user_attr("host", "node01")
    if trial.number == 5:
        raise RuntimeError("boom")
    if trial.number % 4 == 3:
        raise optuna.TrialPruned
    return math.inf if trial.number == 8 else x + (kind is None)


def study_of(objective, n_trials: int, storage: object = None, **settings: object) -> optuna.Study:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1), storage=storage, **settings)
    study.optimize(objective, n_trials=n_trials, catch=(RuntimeError,))
    return study


def assert_like_optunas(study: optuna.Study) -> None:
    ours, theirs = trial_table(study, study.get_trials(deepcopy=False)), study.trials_dataframe(ATTRIBUTES)
    assert_frame_equal(ours, theirs)
    assert ours.to_csv() == theirs.to_csv()


def test_the_table_is_optunas(storage_url):
    assert_like_optunas(study_of(mixed, 12, open_storage(storage_url)))


@pytest.mark.parametrize("n_trials", [0, 1])
def test_the_table_of_few_trials_is_optunas(n_trials):
    assert_like_optunas(study_of(lambda trial: 1.0, n_trials))


def test_a_trial_that_runs_has_gaps_as_in_optunas_table():
    study = study_of(mixed, 4)
    study.ask()
    study.enqueue_trial({"x": 0.5})
    assert_like_optunas(study)


@pytest.mark.parametrize("names", [None, ["loss", "accuracy"]])
def test_the_table_of_several_objectives_is_optunas(names):
    study = study_of(lambda t: (t.suggest_float("x", 0, 1), mixed(t)), 8, directions=["minimize", "maximize"])
    if names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study.set_metric_names(names)
    assert_like_optunas(study)


def test_the_table_of_a_named_objective_is_optunas():
    study = study_of(mixed, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study.set_metric_names(["loss"])
    assert_like_optunas(study)
    assert isinstance(trial_table(study, ()), pd.DataFrame)


def test_what_is_not_finite_or_no_json_is_written_as_text():
    assert json.loads(dumps({"a": [math.inf, math.nan], "b": (1.5, {"c": -math.inf})})) == {
        "a": ["inf", "nan"],
        "b": [1.5, {"c": "-inf"}],
    }
    assert json.loads(dumps({"kind": object, "n": 1}, indent=None))["kind"] == repr(object)


@pytest.mark.parametrize("rows", [[], [{"a": 1}], [{"a": 1}, {"a": math.nan}, {"b": "\u2581"}]])
def test_an_array_has_a_line_for_each_row(tmp_path, rows):
    _write_array(tmp_path / "rows.json", iter(rows))
    text = (tmp_path / "rows.json").read_text(encoding="utf-8")
    assert json.loads(text) == json.loads(dumps(rows))
    assert len(text.splitlines()) == 2 + max(1, len(rows))
