"""Scripts that search, then train, as ranks of mpirun: all come to the same best, and misread nothing."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.bigdl.launched_scripts import KERAS, LIGHTNING, TELL, check
from tests.mpi import environment, launch_script, needs_open_mpi, open_mpi


@needs_open_mpi
@pytest.mark.parametrize(
    ("body", "framework"),
    [
        pytest.param(LIGHTNING, "pytorch_lightning", id="Lightning"),
        pytest.param(KERAS, "tensorflow", id="Keras"),
    ],
)
def test_every_rank_of_a_script_has_the_same_best_and_trains_it(
    tmp_path: Path, body: str, framework: str
) -> None:
    if find_spec(framework) is None:
        pytest.skip(f"{framework}: not installed")
    (tmp_path / "train.py").write_text(TELL + body)
    done = launch_script(open_mpi(2), "train.py", tmp_path, environment())
    assert done.code == 0, done.err
    check(done.told, tmp_path, n_ranks=2)


# Lightning alone, in the environments of launchers

TASK = {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "search", "SLURM_STEP_ID": "0", "SLURM_NODEID": "0"}
TASK |= {"SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURM_NTASKS": "2", "SLURM_TASKS_PER_NODE": "2"}


@pytest.fixture
def as_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pytorch_lightning", reason="pytorch_lightning: not installed")
    for name, value in TASK.items():
        monkeypatch.setenv(name, value)


def environment_of(trainer) -> str:
    return type(trainer._accelerator_connector.cluster_environment).__name__


@pytest.mark.usefixtures("as_a_task")
@pytest.mark.parametrize("use_hpo", [True, False])
@pytest.mark.parametrize("devices", [{}, {"devices": 1}, {"devices": "auto", "accelerator": "cpu"}])
def test_a_trainer_of_a_task_of_slurm_trains_for_itself(use_hpo: bool, devices: dict) -> None:
    from bigdl.nano.pytorch import Trainer

    trainer = Trainer(max_epochs=1, use_hpo=use_hpo, logger=False, enable_checkpointing=False, **devices)
    assert (environment_of(trainer), trainer.world_size) == ("LightningEnvironment", 1)


@pytest.mark.usefixtures("as_a_task")
def test_a_trainer_that_is_asked_for_several_devices_is_a_task_among_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from bigdl.nano.pytorch import Trainer

    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "2")
    monkeypatch.setenv("SLURM_NNODES", "1")
    trainer = Trainer(max_epochs=1, accelerator="cpu", devices=2, logger=False, enable_checkpointing=False)
    assert (environment_of(trainer), trainer.world_size) == ("SLURMEnvironment", 2)


def test_mpi_is_not_begun_to_ask_how_many_ranks_there_are(tmp_path: Path) -> None:
    pytest.importorskip("pytorch_lightning", reason="pytorch_lightning: not installed")
    body = """
import sys

from bigdl.nano.pytorch import Trainer

Trainer(max_epochs=1, logger=False, enable_checkpointing=False)
assert "mpi4py.MPI" not in sys.modules
"""
    (tmp_path / "train.py").write_text(body)
    done = launch_script([], "train.py", tmp_path, environment())
    assert done.code == 0, done.err
