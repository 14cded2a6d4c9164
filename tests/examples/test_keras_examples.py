"""The Keras examples, as a user runs them."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import optuna
import pytest

pytestmark = pytest.mark.skipif(find_spec("tensorflow") is None, reason="TensorFlow: not installed")

ROOT = Path(__file__).parents[2]


def run(*words: object, cwd: Path) -> str:
    """What a Python program prints."""
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def accuracy(printed: str) -> float:
    """The test accuracy in what an example prints, 0 to 1."""
    (percent,) = re.findall(r"^Test accuracy: ([0-9.]+)%", printed, flags=re.MULTILINE)
    return float(percent) / 100


@pytest.mark.parametrize(
    ("name", "parameters", "at_least"),
    [
        ("keras_sequential", ["filters", "kernel_size", "activation", "rate", "learning_rate"], 0.5),
        pytest.param(
            "keras_functional",
            ["rows:layer choice", "units", "both:units", "learning_rate"],
            0.6,
            marks=pytest.mark.long,
        ),
        pytest.param(
            "keras_subclass",
            ["n_blocks", "units", "activation", "rate", "learning_rate"],
            0.5,
            marks=pytest.mark.long,
        ),
    ],
)
def test_an_example_prints_the_best_parameters_and_what_they_are_worth(
    name: str, parameters: list[str], at_least: float, tmp_path: Path
) -> None:
    printed = run(ROOT / "examples" / f"{name}.py", "--n-trials", 3, cwd=tmp_path)
    assert "Best of 3 trials" in printed
    named = re.findall(r"^    (.+?) = ", printed, flags=re.MULTILINE)
    assert set(parameters) <= set(named)
    assert accuracy(printed) > at_least
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_a_choice_of_layers_gives_a_trial_the_parameters_of_its_layer_alone(tmp_path: Path) -> None:
    run(ROOT / "examples" / "keras_functional.py", "--n-trials", 4, "--n-parallels", 2, cwd=tmp_path)
    (file,) = tmp_path.glob("nano-hpo-runs/pairs/run-001/study.db")
    study = optuna.load_study(study_name="pairs", storage=f"sqlite:///{file}")
    of_branch = {"Conv1D": "rows:layer\u25810\u2581filters", "GRU": "rows:layer\u25811\u2581units"}
    for trial in study.trials:
        layer = trial.params["rows:layer\u2581choice"].partition("(")[0]
        assert [name for name in trial.params if name in of_branch.values()] == [of_branch[layer]]


@pytest.mark.long
def test_two_processes_search_and_a_second_program_goes_on(tmp_path: Path) -> None:
    example = ROOT / "examples" / "keras_parallel_and_resume.py"
    storage = f"sqlite:///{tmp_path / 'the study.db'}"
    words = ("--n-trials", 2, "--n-parallels", 2, "--storage", storage)
    assert "Best of 2 trials" in run(example, *words, cwd=tmp_path)
    printed = run(example, *words, "--resume", cwd=tmp_path)
    assert "Best of 4 trials" in printed
    assert accuracy(printed) > 0.5
    study = optuna.load_study(study_name="keras-digits", storage=storage)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 4
