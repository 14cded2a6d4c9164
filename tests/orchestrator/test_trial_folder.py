"""A folder that follows a trial: the same at every attempt and in a later run, with its last step."""

from __future__ import annotations

import optuna
import pytest

from orchestrator import last_checkpoint, mark_checkpoint, search, trial_dir

CONTINUES = """
import os, signal
from pathlib import Path
from orchestrator import last_checkpoint, mark_checkpoint, trial_dir

def objective(trial):
    trial.suggest_float("x", 0, 1)
    state = trial_dir(trial) / "epochs"
    done = last_checkpoint(trial)
    for epoch in range(0 if done is None else done + 1, 6):
        trial.report(epoch / 10, epoch)
        with state.open("a") as file:
            file.write(f"{epoch}\\n")
        if epoch == 2 and trial.number == 1 and done is None:
            os.kill(os.getpid(), signal.SIGKILL)  # after the report, before the mark
        mark_checkpoint(trial, epoch)
    return 1.0
"""


def test_a_trial_goes_on_at_its_checkpoint_when_its_worker_was_killed(cli, storage_url):
    (cli.cwd / "continues.py").write_text(CONTINUES)
    words = ("-n", 3, "--storage", storage_url, "--study-name", "s", "--draw", "none", "--run-dir", "a run")
    done = cli("run", "continues.py", *words)
    assert done.code == 0, done.err
    trials = optuna.load_study(study_name="s", storage=storage_url).trials
    for trial in trials:
        assert trial.intermediate_values == {epoch: epoch / 10 for epoch in range(6)}
    folders = [cli.cwd / "a run" / "trials" / f"trial-{number:05d}" for number in range(3)]
    done = [(folder / "epochs").read_text().split() for folder in folders]
    assert done[0] == done[2] == ["0", "1", "2", "3", "4", "5"]
    assert done[1] == ["0", "1", "2", "2", "3", "4", "5"]


def test_a_later_run_finds_the_folder_of_a_trial_where_it_is(cli, storage_url):
    (cli.cwd / "continues.py").write_text(CONTINUES)
    study = optuna.create_study(study_name="s", storage=storage_url)
    study.enqueue_trial({"x": 0.5})
    old = cli.cwd / "elsewhere" / "trial-00000"
    old.mkdir(parents=True)
    study._storage.set_trial_system_attr(study.trials[0]._trial_id, "nano:trial_dir", str(old))
    words = ("-n", 1, "--storage", storage_url, "--study-name", "s", "--draw", "none", "--resume")
    assert cli("run", "continues.py", *words).code == 0
    assert (old / "epochs").read_text().split() == ["0", "1", "2", "3", "4", "5"]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_in_memory_each_trial_has_a_folder_of_its_own():
    seen = {}

    def objective(trial: optuna.Trial) -> float:
        folder = trial_dir(trial)
        assert folder == trial_dir(trial)
        assert folder.is_dir()
        assert last_checkpoint(trial) is None
        mark_checkpoint(trial, 4)
        assert last_checkpoint(trial) == 4
        seen[len(seen)] = folder
        return 0.0

    for _ in range(2):
        search(objective, n_trials=2, progress=False)
    assert len(set(seen.values())) == 4


def test_a_checkpoint_whose_folder_is_gone_is_none(tmp_path):
    study = optuna.create_study()
    study.run_dir = tmp_path  # type: ignore[attr-defined]
    trial = study.ask()
    folder = trial_dir(trial)
    mark_checkpoint(trial, 3)
    folder.rename(tmp_path / "away")
    assert last_checkpoint(trial) is None
    assert trial_dir(trial) == folder
    assert last_checkpoint(trial) is None
