"""Launches that meet in one folder: one begins, the others wait, join or are refused; nobody's files go."""

from __future__ import annotations

import time

import optuna
import pytest

SLOW_TO_LOAD = """
import os, time
from pathlib import Path
Path(f"loading-{os.getppid()}").touch()
while not Path("load").exists():
    time.sleep(0.01)
if os.environ.get("BROKEN"):
    raise ImportError("broken on purpose")
def objective(trial):
    return trial.suggest_float("x", 0, 1)
"""


@pytest.fixture
def slow(cli):
    (cli.cwd / "slow.py").write_text(SLOW_TO_LOAD)
    return cli


def wait(condition, *processes) -> None:
    while not condition():
        assert all(process.poll() is None for process in processes)
        time.sleep(0.02)


def loading(cli) -> int:
    return len(list(cli.cwd.glob("loading-*")))


def test_the_second_launch_of_a_command_waits_and_leaves_the_first_ones_files_alone(slow):
    words = ("run", "slow.py", "-n", 30, "--draw", "none")
    first = slow.start(*words)
    wait(lambda: loading(slow) == 1, first)
    second = slow.start(*words)
    assert second.stderr is not None
    assert "Another launch is beginning" in second.stderr.readline()
    (slow.cwd / "load").touch()
    said = [process.communicate(timeout=240)[1] for process in (first, second)]
    assert first.returncode == 0, said
    assert second.returncode in (0, 2), said  # 0: the first had ended, so this was a new run
    run = slow.cwd / "nano-hpo-runs" / "slow" / "run-001"
    assert {"run.json", "study.db", "logs", "summary.json"} <= {path.name for path in run.iterdir()}
    study = optuna.load_study(study_name="slow", storage=f"sqlite:///{run / 'study.db'}")
    assert len(study.trials) == 30


def test_a_launch_that_waited_for_one_that_failed_begins_in_its_place(slow):
    words = ("run", "slow.py", "-n", 3, "--draw", "none")
    slow.env["BROKEN"] = "yes"
    first = slow.start(*words)
    wait(lambda: loading(slow) == 1, first)
    del slow.env["BROKEN"]
    second = slow.start(*words)
    assert second.stderr is not None
    assert "Another launch is beginning" in second.stderr.readline()
    (slow.cwd / "load").touch()
    said = [process.communicate(timeout=240)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (2, 0), said
    assert (slow.cwd / "nano-hpo-runs" / "slow" / "run-001" / "summary.json").exists()


def test_a_refused_launch_removes_no_folder_that_was_there(slow):
    (slow.cwd / "load").touch()
    folder = slow.cwd / "a" / "b"
    folder.mkdir(parents=True)
    slow.env["BROKEN"] = "yes"
    done = slow("run", "slow.py", "-n", 1, "--run-dir", "a/b/c/d")
    assert done.code == 2
    assert folder.is_dir()
    assert list(folder.iterdir()) == []


def test_a_run_that_died_over_its_files_is_completed_by_the_same_command(slow):
    (slow.cwd / "load").touch()
    words = ("run", "slow.py", "-n", 3, "--draw", "none", "--run-dir", "r")
    assert slow(*words).code == 0
    (slow.cwd / "r" / "summary.json").unlink()
    (slow.cwd / "r" / "trials.csv").unlink()
    done = slow(*words)
    assert done.code == 0, done.err
    assert "Trials:  3 (3 complete)" in done.out
    assert (slow.cwd / "r" / "trials.csv").exists()
