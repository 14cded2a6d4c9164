"""``search()`` from Python: in this process and in memory, and with worker processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from orchestrator import RunFailed, SpecError, StudyError, Summary, search
from orchestrator.storage.attempts import CAUSE


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NANO_HPO_STORAGE", raising=False)


def quadratic(trial):
    x = trial.suggest_float("x", -5, 5)
    trial.report(x, 0)
    return (x - 1) ** 2


def test_one_worker_without_storage_searches_here_in_memory_and_writes_nothing():
    pids = []

    def objective(trial):  # a closure, which needs no pickling here
        pids.append(os.getpid())
        return quadratic(trial)

    summary = search(objective, n_trials=30, seed=1, progress=False)
    assert isinstance(summary, Summary)
    assert set(pids) == {os.getpid()}
    assert summary.counts == {"COMPLETE": 30}
    assert summary.best_value == min(trial.value for trial in summary.trials)
    assert abs(summary.best_params["x"] - 1) < 1
    assert len(summary.trials_dataframe()) == 30
    assert list(Path().iterdir()) == []


def test_a_seed_repeats_a_search_and_another_does_not():
    def params(seed: int) -> list[dict]:
        return [t.params for t in search(quadratic, n_trials=15, seed=seed, progress=False).trials]

    assert params(3) == params(3) != params(4)


def test_what_the_objective_draws_itself_is_seeded_too():
    import random

    def draws(trial):
        return random.random()

    def values() -> list[float]:
        return [t.value for t in search(draws, n_trials=3, seed=3, progress=False).trials]

    assert values() == values()


def test_maximising_finds_the_largest():
    summary = search(quadratic, n_trials=10, direction="maximize", progress=False)
    assert summary.best_value == max(trial.value for trial in summary.trials)


def test_a_failing_trial_keeps_its_cause():
    def objective(trial):
        if trial.number == 1:
            raise KeyError("units")
        return 0.0

    summary = search(objective, n_trials=3, progress=False)
    assert summary.counts == {"COMPLETE": 2, "FAIL": 1}
    assert summary.trials[1].system_attrs[CAUSE] == "raised KeyError: 'units'"


def test_pruned_trials_count_as_finished():
    def objective(trial):
        trial.report(trial.number, 0)
        raise optuna.TrialPruned

    assert search(objective, n_trials=3, progress=False).counts == {"PRUNED": 3}


def test_trials_that_all_fail_alike_end_the_search():
    def objective(trial):
        raise ValueError("always")

    with pytest.raises(RunFailed, match="always"):
        search(objective, n_trials=100, progress=False)


def test_an_optuna_sampler_and_pruner_may_be_given():
    sampler = optuna.samplers.RandomSampler(seed=3)
    summary = search(
        quadratic, n_trials=4, sampler=sampler, pruner=optuna.pruners.NopPruner(), progress=False
    )
    assert len(summary.trials) == 4


def test_several_processes_search_with_a_closure_and_objects_by_value():
    offset = 2.5

    def objective(trial):
        trial.set_user_attr("pid", os.getpid())
        return trial.suggest_float("x", 0, 1) + offset

    summary = search(
        objective,
        n_trials=12,
        n_parallels=2,
        sampler=optuna.samplers.RandomSampler(),
        study_name="closure",
        progress=False,
        draw="html",
    )
    assert summary.counts == {"COMPLETE": 12}
    assert os.getpid() not in {trial.user_attrs["pid"] for trial in summary.trials}
    assert len({trial.params["x"] for trial in summary.trials}) == 12
    assert (Path("nano-hpo-runs") / "closure" / "run-001" / "report.html").exists()


def test_a_stored_study_is_renamed_not_deleted_and_resume_adds_to_it(storage_url):
    def again(**more):
        options = {
            "n_trials": 3,
            "storage": storage_url,
            "study_name": "kept",
            "progress": False,
            "draw": "none",
        }
        return search(quadratic, **options, **more)

    again()
    assert len(again(resume=True).trials) == 6
    assert len(again().trials) == 3
    names = optuna.get_all_study_names(storage_url)
    assert len(names) == 2
    (replaced,) = set(names) - {"kept"}
    assert replaced.startswith("kept (replaced 20")
    assert len(optuna.load_study(study_name=replaced, storage=storage_url).trials) == 6


def test_resume_without_a_study_is_refused(storage_url):
    with pytest.raises(SpecError, match="storage=URL"):
        search(quadratic, n_trials=1, resume=True)
    with pytest.raises(StudyError, match="no study"):
        search(quadratic, n_trials=1, resume=True, storage=storage_url, study_name="none")
    assert list(Path().iterdir()) in ([], [Path("test.db")])


def test_a_script_searches_with_functions_of_its_own_main_module(tmp_path):
    script = tmp_path / "a script.py"
    script.write_text(
        "from orchestrator import search\n"
        "def objective(trial):\n"
        "    return helper(trial.suggest_float('x', 0, 1))\n"
        "def helper(x):\n"
        "    return x + 1\n"
        "if __name__ == '__main__':\n"
        "    summary = search(objective, n_trials=4, n_parallels=2, draw='none')\n"
        "    print(summary.counts)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "{'COMPLETE': 4}", done.stderr


def test_a_second_interrupt_ends_a_search_in_this_process_at_once():
    import signal

    def stuck(trial):
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)
        pytest.fail("the second interrupt did not arrive")

    with pytest.raises(KeyboardInterrupt):
        search(stuck, n_trials=3, progress=False)


def test_a_first_interrupt_ends_a_search_in_this_process_after_the_running_trial():
    import signal

    def interrupted(trial):
        if trial.number == 1:
            signal.raise_signal(signal.SIGINT)
        return 0.0

    summary = search(interrupted, n_trials=9, progress=False)
    assert summary.counts == {"COMPLETE": 2}
    assert summary.runs[-1].state == "stopped"
