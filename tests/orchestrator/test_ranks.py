"""The same command behind ``mpirun``: every rank is an agent of one run."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import optuna
import pytest

from tests.mpi import environment, fake_rsh, hydra, mpich_environment, needs_mpich, needs_open_mpi, open_mpi
from tests.orchestrator.waiting import wait_until


def run(
    cli, launcher: Sequence[str], n_ranks: int, env: Mapping[str, str], *more: object
) -> tuple[dict, str]:
    """The summary of a run of 30 trials, and what was said."""
    # No rank works before all are there: a late one would find nothing left to do.
    words = ("run", "job.py:meets", "-n", 30, "--oversubscribe", "--study-name", "ranks", *more)
    done = subprocess.run(
        [*launcher, *cli.argv(*words, "--draw", "none", "--json")],
        cwd=cli.cwd,
        env={**cli.env, **env, "MEET": str(n_ranks)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def require_one_run_of_all(summary: dict, n_ranks: int) -> None:
    assert sum(summary["counts"].values()) == 30
    assert [one["state"] for one in summary["runs"]] == ["finished"]
    assert sorted(slot["rank"] for slot in summary["slots"]) == list(range(n_ranks))


@needs_open_mpi
@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_ranks_share_one_run_and_its_budget_and_one_of_them_reports(cli, storage_url, n_ranks):
    summary, said = run(cli, open_mpi(n_ranks), n_ranks, environment(), "--storage", storage_url)
    require_one_run_of_all(summary, n_ranks)
    assert (f"{n_ranks} ranks x 1 = {n_ranks} workers (openmpi)" in said) == (n_ranks > 1)
    trials = optuna.load_study(study_name="ranks", storage=storage_url).trials
    assert sorted(trial.number for trial in trials) == list(range(30))


@needs_mpich
@pytest.mark.parametrize(
    "n_ranks", [2, pytest.param(1, marks=pytest.mark.long), pytest.param(4, marks=pytest.mark.long)]
)
def test_ranks_of_mpich_share_one_run(cli, tmp_path, n_ranks):
    summary, said = run(cli, hydra(n_ranks), n_ranks, mpich_environment(tmp_path))
    require_one_run_of_all(summary, n_ranks)
    assert (f"{n_ranks} ranks x 1 = {n_ranks} workers (mpich)" in said) == (n_ranks > 1)
    assert "The ranks come from the environment" not in said  # MPI has told


@needs_open_mpi
def test_ranks_on_two_hosts_share_one_run(cli, tmp_path):
    hosts = ["--mca", "plm_rsh_agent", fake_rsh(tmp_path), "--host", "one:1,two:2"]
    summary, said = run(cli, open_mpi(3, *hosts), 3, environment())
    require_one_run_of_all(summary, 3)
    assert "3 ranks x 1 = 3 workers (openmpi)" in said


@needs_open_mpi
@needs_mpich
def test_ranks_whose_mpi4py_belongs_to_another_mpi_share_one_run_and_one_of_them_says_so(cli):
    summary, said = run(cli, hydra(2), 2, environment())
    require_one_run_of_all(summary, 2)
    assert said.count("mpi4py uses Open MPI v") == 1


def test_a_rank_that_comes_when_the_others_have_finished_leaves_in_peace(cli):
    words = ("run", "job.py:empty", "-n", 1, "--oversubscribe", "--draw", "none", "--json")
    late = start_rank(cli, 1, *words)
    late.send_signal(signal.SIGSTOP)
    out, err = start_rank(cli, 0, *words).communicate(timeout=240)
    assert json.loads(out)["counts"] == {"COMPLETE": 1}, err
    late.send_signal(signal.SIGCONT)
    out, err = late.communicate(timeout=240)
    assert (late.returncode, out) == (0, ""), err


def test_a_rank_that_never_took_part_is_named_and_not_waited_for(cli):
    words = ("run", "job.py:empty", "-n", 2, "--oversubscribe", "--draw", "html", "--json")
    process = start_rank(cli, 0, *words)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    summary = json.loads(out)
    assert summary["absent"] == ["rank 1 never took part"]
    assert "rank 1 never took part" in Path(summary["report"]).read_text()


def test_a_rank_that_is_lost_before_it_reported_is_named(cli):
    cli.env["HELD"] = "0:go"
    words = ("run", "job.py:held", "-n", 4, "--oversubscribe", "--draw", "none", "--json")
    first, second = [start_rank(cli, index, *words) for index in range(2)]
    wait_until(lambda: len(list(cli.cwd.glob("began-*"))) >= 2, first, second)  # each is at a trial
    second.kill()
    second.wait()
    (cli.cwd / "go").touch()
    out, err = first.communicate(timeout=240)
    assert first.returncode == 0, err
    summary = json.loads(out)
    assert summary["counts"] == {"COMPLETE": 4}
    assert summary["absent"] == [f"rank 1 on {socket.gethostname()} was lost before it reported"]


def start_rank(cli, index: int, *words: object) -> subprocess.Popen[str]:
    """One of two ranks, as mpirun would start it."""
    cli.env |= {"OMPI_COMM_WORLD_RANK": str(index), "OMPI_COMM_WORLD_SIZE": "2"}
    cli.env |= {"OMPI_COMM_WORLD_LOCAL_RANK": str(index), "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}
    return cli.start(*words)
