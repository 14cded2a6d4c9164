"""The same command behind ``mpirun``: every rank is an agent of one run."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess

import optuna
import pytest

MPIRUN = ["mpirun", "--oversubscribe", "--bind-to", "none"]


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="mpirun is not installed")
@pytest.mark.parametrize("n_ranks", [2, 3])
def test_ranks_share_one_run_and_its_budget_and_one_of_them_reports(cli, storage_url, n_ranks):
    env = cli.env | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    env["MEET"] = str(n_ranks)
    words = (
        "run",
        "job.py:meets",  # no rank works before all are there: a late one would find nothing left to do
        "-n",
        30,
        "--oversubscribe",
        "--storage",
        storage_url,
        "--study-name",
        "ranks",
    )
    command = [*MPIRUN, "-n", str(n_ranks), *cli.argv(*words, "--draw", "none", "--json")]
    done = subprocess.run(
        command, cwd=cli.cwd, env=env, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert sum(summary["counts"].values()) == 30
    assert len(summary["runs"]) == 1
    assert summary["runs"][0]["state"] == "finished"
    assert sorted(slot["rank"] for slot in summary["slots"]) == list(range(n_ranks))
    assert f"{n_ranks} ranks x 1 = {n_ranks} workers (openmpi)" in done.stderr
    trials = optuna.load_study(study_name="ranks", storage=storage_url).trials
    assert sorted(trial.number for trial in trials) == list(range(30))


def test_a_rank_that_comes_when_the_others_have_finished_leaves_in_peace(cli):
    words = ("run", "job.py:empty", "-n", 1, "--oversubscribe", "--draw", "none", "--json")
    late = start_rank(cli, 1, *words)
    late.send_signal(signal.SIGSTOP)
    out, err = start_rank(cli, 0, *words).communicate(timeout=240)
    assert json.loads(out)["counts"] == {"COMPLETE": 1}, err
    late.send_signal(signal.SIGCONT)
    out, err = late.communicate(timeout=240)
    assert (late.returncode, out) == (0, ""), err


def start_rank(cli, index: int, *words: object) -> subprocess.Popen[str]:
    """One of two ranks, as mpirun would start it."""
    cli.env |= {"OMPI_COMM_WORLD_RANK": str(index), "OMPI_COMM_WORLD_SIZE": "2"}
    cli.env |= {"OMPI_COMM_WORLD_LOCAL_RANK": str(index), "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}
    return cli.start(*words)
