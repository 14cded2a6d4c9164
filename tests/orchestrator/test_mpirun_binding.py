"""Plain ``mpirun`` binds each rank to one core; the ranks divide the machine all the same."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from affinity import parse_list

pytestmark = pytest.mark.skipif(shutil.which("mpirun") is None, reason="mpirun is not installed")


def run(cli, *options: str) -> list[dict]:
    """The slots of two bound ranks."""
    import json

    allow = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    # Oversubscribing is only for machines of a single core; with two, mpirun binds a rank to each.
    mpirun = ["mpirun", "--bind-to", "core:overload-allowed", "--oversubscribe", "-n", "2"]
    words = ("run", "job.py:meets", "-n", 6, "--oversubscribe", "--draw", "none", "--json", *options)
    done = subprocess.run(
        [*mpirun, *cli.argv(*words)],
        cwd=cli.cwd,
        env=cli.env | allow | {"MEET": "2"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["slots"]


def test_bound_ranks_divide_all_that_mpirun_may_use(cli):
    slots = run(cli)
    planned = {pu for slot in slots for pu in parse_list(slot["cpus"])}
    assert planned == os.sched_getaffinity(0)
    assert [slot["got_cpus"] for slot in slots] == [slot["cpus"] for slot in slots]


def test_bound_ranks_stay_in_their_cores_when_asked_to(cli):
    slots = run(cli, "--keep-binding")
    assert all(len(parse_list(slot["cpus"])) <= 2 for slot in slots)  # a core, with its siblings
    assert {slot["slot"] for slot in slots} == {0}
