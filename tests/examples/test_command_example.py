"""The example of a command: it stands alone, and a search finds what is good for it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator import CommandObjective, search

FOLDER = Path(__file__).parents[2] / "examples" / "command"
WORDS = [str(FOLDER / "train.py"), "--lr", "{lr}", "--momentum", "{momentum}", "--batch", "{batch}"]


@pytest.fixture(autouse=True)
def _with_this_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)


def run(**variables: str) -> list[str]:
    env = {**os.environ, **variables}
    done = subprocess.run(
        [FOLDER / "train.py", "--lr", "1"], env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_it_runs_alone_and_imports_nothing_of_ours() -> None:
    lines = run()
    assert len(lines) == 21
    assert 0 < float(lines[-1]) < 0.5
    assert not any(name in (FOLDER / "train.py").read_text() for name in ("orchestrator", "optuna"))


def test_it_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    whole = run()
    words = [FOLDER / "train.py", "--lr", "1"]
    env = {**os.environ, "NANO_HPO_TRIAL_DIR": str(tmp_path)}
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE, text=True) as cut_off:
        assert cut_off.stdout is not None
        begun = [cut_off.stdout.readline().rstrip() for _ in range(3)]
        cut_off.kill()
    first = json.loads((tmp_path / "state.json").read_text())[0]
    assert begun == whole[:3]
    assert run(NANO_HPO_TRIAL_DIR=str(tmp_path), NANO_HPO_CHECKPOINT=str(first - 1)) == whole[first:]


def test_a_search_finds_good_settings_and_ends_hopeless_trials() -> None:
    objective = CommandObjective(WORDS, FOLDER / "space.toml")
    summary = search(objective, n_trials=12, seed=1, progress=False)
    states = [trial.state.name for trial in summary.trials]
    assert set(states) == {"COMPLETE", "PRUNED"}
    assert summary.best_value < 0.37
    assert set(summary.best_params) == {"lr", "momentum", "batch", "schedule"}
