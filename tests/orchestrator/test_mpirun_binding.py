"""Plain ``mpirun`` binds each rank to one core; the ranks divide the machine all the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from affinity import format_list, parse_list
from tests.mpi import OPEN_MPI, environment, hydra, mpich_environment, needs_mpich, needs_open_mpi, open_mpi

# Oversubscribing is only for machines of a single core; with two, mpirun binds a rank to each.
BOUND = [OPEN_MPI, "--bind-to", "core:overload-allowed", "--oversubscribe", "-n", "2"]


def start(cli, launcher: list[str], *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    words = ("run", "job.py:meets", "-n", 6, "--draw", "none", "--json", *options)
    return subprocess.run(
        [*launcher, *cli.argv(*words)],
        cwd=cli.cwd,
        env=cli.env | environment() | env,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def run(cli, *options: str) -> tuple[list[dict], str]:
    """The slots of two bound ranks, and what was said."""
    done = start(cli, BOUND, "--oversubscribe", *options, MEET="2")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["slots"], done.stderr


@needs_open_mpi
def test_bound_ranks_divide_all_that_mpirun_may_use(cli):
    slots, said = run(cli)
    planned = {pu for slot in slots for pu in parse_list(slot["cpus"])}
    assert planned == os.sched_getaffinity(0)
    assert [slot["got_cpus"] for slot in slots] == [slot["cpus"] for slot in slots]
    if len(os.sched_getaffinity(0)) > 1:
        assert said.count(" bound this rank to CPU ") == 1
        assert "mpirun --bind-to none binds none." in said


@needs_open_mpi
def test_bound_ranks_stay_in_their_cores_when_asked_to(cli):
    slots, said = run(cli, "--keep-binding")
    assert " bound this rank to CPU " not in said
    assert all(len(parse_list(slot["cpus"])) <= 2 for slot in slots)  # a core, with its siblings
    assert {slot["slot"] for slot in slots} == {0}


# Four ranks where there are fewer cores


def on_cores(launcher: list[str], n_cores: int = 1) -> list[str]:
    taskset = shutil.which("taskset")
    assert taskset is not None
    return [taskset, "--cpu-list", cores(n_cores), *launcher]


def cores(n_cores: int) -> str:
    return format_list(sorted(os.sched_getaffinity(0))[:n_cores])


BOUND_TO_CORES = [*BOUND[:-1], "4"]  # as plain mpirun binds, and they share cores


@needs_open_mpi
@pytest.mark.parametrize(("launcher", "n_cores"), [(open_mpi(4), 1), (BOUND_TO_CORES, 2)])
def test_four_ranks_on_fewer_cores_are_refused_with_the_numbers_and_what_to_do(cli, launcher, n_cores):
    n_cores = min(n_cores, len(os.sched_getaffinity(0)))
    done = start(cli, on_cores(launcher, n_cores))
    assert done.returncode == 2, done.stderr
    assert "4 ranks on " in done.stderr
    said = f"they may use {n_cores} ({cores(n_cores)}). Lower n_parallels, start"
    assert f" x 1 = 4 workers need 4 cores; {said}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (cli.cwd / "nano-hpo-runs").exists()


@needs_mpich
def test_four_ranks_of_mpich_on_one_core_are_refused_likewise(cli, tmp_path):
    done = start(cli, on_cores(hydra(4)), **mpich_environment(tmp_path))
    assert done.returncode != 0, done.stderr  # 2, or that of a rank that mpiexec has ended meanwhile
    assert " x 1 = 4 workers need 4 cores; they may use 1 (" in done.stderr


@needs_open_mpi
def test_four_ranks_on_one_core_that_are_asked_for_are_warned_about_once(cli):
    done = start(cli, on_cores(open_mpi(4)), "--oversubscribe", MEET="4")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("4 slots share 1 core") == 1
    assert sorted(slot["rank"] for slot in json.loads(done.stdout)["slots"]) == [0, 1, 2, 3]


@needs_open_mpi
def test_a_bound_rank_that_keeps_too_few_cores_is_told_what_binds_none(cli):
    done = start(cli, BOUND, "--keep-binding", "--n-parallels", "3")
    assert done.returncode == 2, done.stderr
    assert "1 rank on " in done.stderr
    assert " x 3 = 3 workers need 3 cores; it may use " in done.stderr
    assert "bind it to more (mpirun --bind-to none)" in done.stderr
