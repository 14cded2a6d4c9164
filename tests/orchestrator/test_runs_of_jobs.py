"""A run is known by the Slurm job it is in: array tasks join it, a requeued job goes on with it."""

from __future__ import annotations

import json
import os
import re
import signal

import optuna
import pytest

from launchers import Job, read_job
from orchestrator import is_rank_zero, rank
from orchestrator.launching.identity import identity_in

ONE = ("--draw", "none", "--json", "--oversubscribe")


@pytest.fixture
def url(mariadb) -> str:
    return mariadb.create_database()


def words(url: str, objective: str, n_trials: int, *more: object) -> tuple[object, ...]:
    return ("run", f"job.py:{objective}", "-n", n_trials, "--storage", url, "--study-name", "s", *ONE, *more)


def in_job(cli, job: int, task: int | None = None, restarts: int = 0) -> None:
    """What Slurm tells a batch script."""
    cli.env |= {"SLURM_JOB_ID": str(job), "SLURM_RESTART_COUNT": str(restarts), "SLURM_CLUSTER_NAME": "c"}
    if task is not None:
        cli.env |= {"SLURM_ARRAY_JOB_ID": "1200", "SLURM_ARRAY_TASK_ID": str(task)}


def test_tasks_of_an_array_that_start_at_once_are_one_run_with_an_exact_budget(cli, url):
    started = []
    for task in range(4):
        in_job(cli, 1201 + task, task)
        apart = ("--run-dir", f"of-{task}") if task % 2 else ()  # they need not share a file system
        started.append(cli.start(*words(url, "quadratic", 40, *apart)))
    for process in started:
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
    study = optuna.load_study(study_name="s", storage=url)
    assert sorted(trial.number for trial in study.trials) == list(range(40))
    in_job(cli, 1299, 9)
    late = cli(*words(url, "quadratic", 40))
    assert late.code == 0, late.err
    assert "is finished" in late.err
    assert [run["run_id"] for run in late.json["runs"]] == ["slurm-c-1200-s"]
    assert late.json["counts"].keys() <= {"COMPLETE", "PRUNED"}
    assert len(optuna.load_study(study_name="s", storage=url).trials) == 40


def test_the_slots_and_logs_of_an_array_name_the_jobs_they_were_in(cli, url):
    in_job(cli, 1201, 3)
    done = cli(*words(url, "empty", 2))
    assert done.code == 0, done.err
    assert [slot["job"] for slot in done.json["slots"]] == ["1200_3"]
    logs = cli.cwd / "nano-hpo-runs/s/run-001/logs"
    assert [log.name for log in logs.iterdir()] == ["job1200_3-rank0-slot0.log"]


def test_a_task_with_other_settings_is_refused_by_their_names(cli, url):
    in_job(cli, 1201, 1)
    process = cli.start(*words(url, "held", 3, "--grace", 0))
    while not (cli.cwd / "began-0").exists():
        assert process.poll() is None
    in_job(cli, 1202, 2)
    other = cli(*words(url, "held", 4))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=240)
    assert other.code == 2
    assert "n_trials 3 there, 4 here" in other.err


def test_a_job_that_is_requeued_goes_on_with_its_run_wherever_it_is(cli, url):
    in_job(cli, 77)
    process = cli.start(*words(url, "held", 3, "--grace", 0))
    while not (cli.cwd / "began-0").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=240)
    trial = optuna.load_study(study_name="s", storage=url).trials[0]
    in_job(cli, 77, restarts=1)
    (cli.cwd / "go").touch()
    done = cli(*words(url, "held", 3, "--run-dir", "elsewhere"))
    assert done.code == 0, done.err
    assert done.json["counts"] == {"COMPLETE": 3}
    assert [run["run_id"] for run in done.json["runs"]] == ["slurm-c-77-s"]
    assert optuna.load_study(study_name="s", storage=url).trials[0].params == trial.params
    again = cli(
        *words(url, "held", 3, "--run-dir", "third")
    )  # requeued once more, as by a script that did not get to its end
    assert again.code == 0
    assert "slurm-c-77-s is finished" in again.err
    assert not (cli.cwd / "third").exists()
    assert len(optuna.load_study(study_name="s", storage=url).trials) == 3


def test_the_same_command_typed_twice_within_a_job_is_meant_twice(cli, url):
    in_job(cli, 78)
    assert cli(*words(url, "empty", 2)).code == 0
    refused = cli(*words(url, "empty", 2))
    assert refused.code == 2
    assert "--resume" in refused.err
    done = cli(*words(url, "empty", 2, "--resume"))
    assert done.code == 0, done.err
    assert [run["run_id"] for run in done.json["runs"]] == ["slurm-c-78-s", "slurm-c-78-s-2"]
    assert done.json["counts"] == {"COMPLETE": 4}


def test_sixteen_agents_on_a_fresh_database_make_one_study(cli, url):
    started = []
    for task in range(16):
        in_job(cli, 1201 + task, task)
        started.append(cli.start(*words(url, "empty", 64)))
    for process in started:
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
    assert optuna.get_all_study_names(url) == ["s"]
    assert len(optuna.load_study(study_name="s", storage=url).trials) == 64


@pytest.mark.parametrize("name", ["s", "x" * 512, "ä" * 300])
def test_ids_fit_their_column_and_differ_by_job_and_study(name):
    first, second = (identity_in(Job(number, None, "c"), name) for number in ("1", "2"))
    ids = [next(one.ids()) for one in (first, second)]
    assert len(set(ids)) == 2
    assert all(len(run_id) <= 191 for run_id in ids)
    assert next(identity_in(Job("1", None, "c"), name).ids()) == f"{first.base}-2"  # its second search


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": "5"}, Job("5")),
        ({"SLURM_JOB_ID": "5", "SLURM_RESTART_COUNT": "2"}, Job("5", restarts=2)),
        (
            {"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "2"},
            Job("5", "2"),
        ),
    ],
)
def test_the_environment_names_the_job(environ, expected):
    assert read_job(environ) == expected


def test_a_script_knows_its_rank(monkeypatch):
    assert (rank(), is_rank_zero()) == (0, True)
    for name, value in {"RANK": "1", "SIZE": "2", "LOCAL_RANK": "1", "LOCAL_SIZE": "2"}.items():
        monkeypatch.setenv(f"OMPI_COMM_WORLD_{name}", value)
    assert (rank(), is_rank_zero()) == (1, False)


SCRIPT = """
import json, os, sys
from orchestrator import is_rank_zero, rank, search

def objective(trial):
    return trial.suggest_float("x", -5, 5) ** 2

if __name__ == "__main__":
    for n in (1, 2):
        found = search(objective, n_trials=5, oversubscribe=True, progress=False, draw="none", seed=n,
                       study_name="of-all", resume=n == 2)
        said = {"n": n, "best": found.best_value, "trials": len(found.trials), "state": found.runs[-1].state}
        with open(f"rank-{rank()}-{n}.json", "w") as file:
            json.dump(said, file)
"""


def test_every_rank_of_a_script_gets_the_same_result(cli):
    (cli.cwd / "script.py").write_text(SCRIPT)
    done = mpirun(cli, 2, str(cli.argv()[0]).replace("nano-hpo", "python"), "script.py")
    assert done.returncode == 0, done.stderr
    for n in (1, 2):
        first, second = (json.loads((cli.cwd / f"rank-{i}-{n}.json").read_text()) for i in range(2))
        assert first == second == first | {"trials": 5 * n, "state": "finished"}


def test_a_rank_with_other_settings_is_refused_by_their_names(cli, url):
    nano_hpo, *rest = cli.argv(*words(url, "empty", 2))
    swap = 'n=$((2 + OMPI_COMM_WORLD_RANK)); exec "$0" run "$2" -n "$n" "${@:5}"'
    done = mpirun(cli, 2, "bash", "-c", swap, nano_hpo, *rest)
    assert done.returncode == 2
    assert re.search(r"Rank 1 .*n_trials 2 at rank 0, 3 here", done.stderr)


def mpirun(cli, n_ranks: int, *command: str):
    import shutil
    import subprocess

    assert shutil.which("mpirun")
    allow = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    launcher = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(n_ranks)]
    return subprocess.run(
        [*launcher, *command],
        cwd=cli.cwd,
        env={**os.environ, **cli.env, **allow},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
