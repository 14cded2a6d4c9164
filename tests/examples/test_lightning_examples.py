"""The Lightning examples, as a user runs them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import optuna
import pytest

pytestmark = pytest.mark.skipif(find_spec("pytorch_lightning") is None, reason="Lightning: not installed")

ROOT = Path(__file__).parents[2]
LINE = re.compile(r"^ +(\d+) +([\d.]+) +([\d.]+) ± ([\d.]+) +([\d,]+)  (.+)$", flags=re.MULTILINE)


def run(*words: object, cwd: Path) -> str:
    """What a Python program prints. Threads that wait leave the cores to whatever else the machine does."""
    command = [sys.executable, *map(str, words)]
    environ = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def example(name: str, *words: object, cwd: Path) -> str:
    return run(ROOT / "examples" / f"lightning_{name}.py", *words, cwd=cwd)


def parameters(printed: str) -> list[str]:
    """The names of the parameters that an example prints."""
    return re.findall(r"^    (\w+) = ", printed, flags=re.MULTILINE)


def accuracy(printed: str) -> float:
    """The test accuracy in what an example prints, 0 to 1."""
    (percent,) = re.findall(r"^Test accuracy: ([0-9.]+)%", printed, flags=re.MULTILINE)
    return float(percent) / 100


def test_the_architecture_that_is_found_is_printed_with_what_it_is_worth(tmp_path: Path) -> None:
    printed = example("architecture", "--n-trials", 3, cwd=tmp_path)
    assert "Best of 3 trials" in printed
    assert set(parameters(printed)) == {"n_layers", "width", "activation", "rate", "lr", "batch_size"}
    assert accuracy(printed) > 0.5
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_two_processes_search_architectures_and_complete_those_that_they_do_not_prune(tmp_path: Path) -> None:
    printed = example("architecture", "--n-trials", 12, "--n-parallels", 2, cwd=tmp_path)
    (file,) = tmp_path.glob("nano-hpo-runs/network/run-001/study.db")
    study = optuna.load_study(study_name="network", storage=f"sqlite:///{file}")
    epochs: dict[str, list[int]] = {"COMPLETE": [], "PRUNED": []}
    for trial in study.trials:
        epochs[trial.state.name].append(len(trial.intermediate_values))
    assert set(epochs["COMPLETE"]) == {8}
    assert all(1 <= n_epochs <= 8 for n_epochs in epochs["PRUNED"])
    assert f"Best of 12 trials ({len(epochs['PRUNED'])} stopped early)" in printed


@pytest.mark.long
def test_two_processes_search_and_a_second_program_goes_on_with_the_weights(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'the study.db'}"
    words = ("--n-trials", 2, "--n-parallels", 2, "--storage", storage)
    assert "Best of 2 trials" in example("parallel_and_resume", *words, cwd=tmp_path)
    printed = example("parallel_and_resume", *words, "--resume", cwd=tmp_path)
    assert "Best of 4 trials" in printed
    assert set(parameters(printed)) == {"width", "rate", "learning_rate"}
    assert accuracy(printed) > 0.8
    study = optuna.load_study(study_name="lightning-digits", storage=storage)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 4
    kept = {path.stem for path in tmp_path.glob("nano-hpo-runs/lightning-digits/run-*/weights/*")}
    assert f"trial-{study.best_trial.number:05d}" in kept


def test_the_table_of_fast_and_good_models_is_the_pareto_front(tmp_path: Path) -> None:
    printed = example("latency", "--n-trials", 4, "--n-parallels", 2, cwd=tmp_path)
    (file,) = tmp_path.glob("nano-hpo-runs/network/run-001/study.db")
    study = optuna.load_study(study_name="network", storage=f"sqlite:///{file}")
    lines = LINE.findall(printed)
    assert {int(line[0]) for line in lines} == {trial.number for trial in study.best_trials}
    for number, loss, latency_ms, spread_ms, n_parameters, optimization in lines:
        trial = study.trials[int(number)]
        assert [float(loss), float(latency_ms)] == pytest.approx(trial.values, abs=1e-4)
        assert float(spread_ms) == pytest.approx(trial.user_attrs["latency"]["spread_ms"], abs=1e-4)
        n_layers, width = trial.params["n_layers"], trial.params["width"]
        weights = 65 * width + (n_layers - 1) * (width + 1) * width + 10 * (width + 1)
        assert n_parameters == f"{weights:,}"
        assert optimization == "not tried"
    latencies = [float(line[2]) for line in lines]
    assert latencies == sorted(latencies)
    assert set(parameters(printed)) == {"n_layers", "width", "learning_rate"}
    assert accuracy(printed) > 0.3


def test_a_search_by_one_process_leaves_two_plots_and_nothing_else(tmp_path: Path) -> None:
    printed = example("latency", "--n-trials", 2, cwd=tmp_path)
    assert "Plots: pareto_front.html, importances_for_duration.html" in printed
    titles = {
        "pareto_front.html": "latency in ms",
        "importances_for_duration.html": "Importance for duration",
    }
    assert {path.name for path in tmp_path.iterdir()} == set(titles)
    for name, title in titles.items():
        assert title in (tmp_path / name).read_text()


def test_acceleration_names_what_made_a_model_fast(tmp_path: Path) -> None:
    printed = example("latency", "--n-trials", 1, "--acceleration", cwd=tmp_path)
    (line,) = LINE.findall(printed)
    assert line[5] in {"original", "jit", "compile", "ipex"}
