"""Scripts and agents as tasks of one ``srun``, without a job script around them."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.bigdl.launched_scripts import KERAS, LIGHTNING, TELL, check
from tests.mpi import environment, launch_script
from tests.slurm.cluster import Cluster

N_TASKS = 4


def srun(n_nodes: int, *more: str) -> list[str]:
    return ["srun", f"--nodes={n_nodes}", f"--ntasks={N_TASKS}", "--time=5", *more]


# One is tried always, as each imports its framework eight times.
@pytest.mark.parametrize(
    ("body", "framework", "n_nodes"),
    [
        pytest.param(LIGHTNING, "pytorch_lightning", 4, id="Lightning on four nodes"),
        pytest.param(LIGHTNING, "pytorch_lightning", 1, id="Lightning on one node", marks=pytest.mark.long),
        pytest.param(KERAS, "tensorflow", 4, id="Keras on four nodes", marks=pytest.mark.long),
        pytest.param(KERAS, "tensorflow", 1, id="Keras on one node", marks=pytest.mark.long),
    ],
)
def test_every_task_of_a_script_has_the_same_best_and_trains_it(
    cluster: Cluster, tmp_path: Path, body: str, framework: str, n_nodes: int
) -> None:
    if find_spec(framework) is None:
        pytest.skip(f"{framework}: not installed")
    (tmp_path / "train.py").write_text(TELL + body)
    done = launch_script(srun(n_nodes), "train.py", tmp_path, environment() | cluster.environ)
    assert done.code == 0, done.err
    assert "requeue" not in done.err
    check(done.told, tmp_path, N_TASKS)


@pytest.mark.long
def test_tasks_that_speak_pmix_are_ranks_of_one_search(cluster: Cluster, tmp_path: Path) -> None:
    if not cluster.has_mpi("pmix"):
        pytest.skip("PMIx: Slurm has none, or not its library (Debian: libpmix-dev)")
    (tmp_path / "train.py").write_text(TELL + LIGHTNING)
    command = srun(2, "--mpi=pmix")
    done = launch_script(command, "train.py", tmp_path, environment() | cluster.environ)
    assert done.code == 0, done.err
    check(done.told, tmp_path, N_TASKS)


OBJECTIVE = "def objective(trial):\n    return trial.suggest_float('x', -1, 1) ** 2\n"


@pytest.mark.parametrize(
    ("more", "code"), [((), 2), pytest.param(("--oversubscribe",), 0, marks=pytest.mark.long)]
)
def test_four_tasks_on_one_core_are_told_so(
    cluster: Cluster, tmp_path: Path, more: tuple[str, ...], code: int
) -> None:
    (tmp_path / "train.py").write_text(OBJECTIVE)
    core = min(os.sched_getaffinity(0))
    words = ["taskset", "--cpu-list", str(core), Path(sys.executable).with_name("nano-hpo"), "run"]
    words += ["train.py:objective", "--n-trials", "8", "--draw", "none", *more]
    done = subprocess.run(
        [*srun(1), *words],
        cwd=tmp_path,
        env=cluster.environ,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == code, done.stderr
    if code:
        assert f" x 1 = 4 workers need 4 cores; they may use 1 ({core}). Lower n_parallels, " in done.stderr
        assert not (tmp_path / "nano-hpo-runs").exists()
    else:
        assert done.stderr.count("4 slots share 1 core") == 1
