"""Ranks from environments recorded under real launchers.

Open MPI 4.1.4 and 5.0.11, MPICH 4.0 and 5.0, Intel MPI 2021.18, Slurm 22.05.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from launchers import ALONE, LauncherError, Rank, read_rank

OPENMPI_4 = {
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "OMPI_COMM_WORLD_NODE_RANK": "1",
    "OMPI_UNIVERSE_SIZE": "2",
    "OMPI_MCA_ess": "^singleton",
    "OMPI_MCA_orte_ess_num_procs": "2",
    "PMIX_RANK": "1",
    "PMIX_NAMESPACE": "2109014017",
    "PMIX_ID": "2109014017.1",
}
OPENMPI_5 = {
    "OMPI_COMM_WORLD_RANK": "0",
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_LOCAL_RANK": "0",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "OMPI_VERSION": "5.0.11",
    "PMIX_RANK": "0",
    "PMIX_NAMESPACE": "prterun-vm-5487@1",
    "PRTE_LAUNCHED": "1",
}
HYDRA = {
    "PMI_RANK": "1",
    "PMI_SIZE": "2",
    "PMI_FD": "11",
    "PMI_HOSTNAME": "vm",
    "MPI_LOCALRANKID": "1",
    "MPI_LOCALNRANKS": "2",
    "HYDI_CONTROL_FD": "7",
}
INTEL_MPI = HYDRA | {
    "I_MPI_HYDRA_UUID": "3d560000-0a75-d9b0-5f61-0600f851937c",
    "I_MPI_PIN_INFO": "1",
    "HYDRA_BSTRAP_NODE_ID": "0",
    "HYDRA_BSTRAP_LOCALHOST": "vm",
}
SLURM_BATCH = {
    "SLURM_JOB_ID": "1",
    "SLURM_JOB_NAME": "j.sh",
    "SLURM_NTASKS": "3",
    "SLURM_NPROCS": "3",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
    "SLURM_TASKS_PER_NODE": "2,1",
}
SLURM_TASK = SLURM_BATCH | {
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "3",
    "SLURM_STEP_TASKS_PER_NODE": "2,1",
    "SLURM_PROCID": "2",
    "SLURM_NODEID": "1",
}
SLURM_PMI2 = SLURM_TASK | {"PMI_RANK": "2", "PMI_SIZE": "3", "PMI_FD": "11", "PMI_JOBID": "1.0"}
SLURM_OF_SEVEN = SLURM_TASK | {
    "SLURM_STEP_NUM_TASKS": "7",
    "SLURM_STEP_TASKS_PER_NODE": "2(x3),1",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "2",
}
PALS = {"PMI_RANK": "3", "PMI_SIZE": "8", "PMI_LOCAL_RANK": "1", "PMI_LOCAL_SIZE": "2"}
PMIX = {"PMIX_RANK": "1", "PMIX_SIZE": "2", "PMIX_LOCAL_RANK": "0", "PMIX_LOCAL_SIZE": "1"}


@pytest.mark.parametrize(
    ("environ", "rank"),
    [
        pytest.param({}, Rank(0, 1, 0, 1, "alone"), id="alone"),
        pytest.param(OPENMPI_4, Rank(1, 2, 1, 2, "openmpi"), id="Open MPI 4"),
        pytest.param(OPENMPI_5, Rank(0, 2, 0, 2, "openmpi"), id="Open MPI 5"),
        pytest.param(HYDRA, Rank(1, 2, 1, 2, "mpich"), id="Hydra"),
        pytest.param(INTEL_MPI, Rank(1, 2, 1, 2, "mpich"), id="Intel MPI"),
        pytest.param(SLURM_TASK, Rank(2, 3, 0, 1, "slurm"), id="srun"),
        pytest.param(SLURM_PMI2, Rank(2, 3, 0, 1, "slurm"), id="srun --mpi=pmi2"),
        pytest.param(SLURM_TASK | {"PMIX_RANK": "2"}, Rank(2, 3, 0, 1, "slurm"), id="srun --mpi=pmix"),
        pytest.param(SLURM_OF_SEVEN, Rank(5, 7, 1, 2, "slurm"), id="srun, compressed task list"),
        pytest.param(PALS, Rank(3, 8, 1, 2, "pmi"), id="PMI"),
        pytest.param(PMIX, Rank(1, 2, 0, 1, "pmix"), id="PMIx"),
        pytest.param(SLURM_BATCH, ALONE, id="the batch script of sbatch"),
        pytest.param(SLURM_BATCH | {"SLURM_STEP_ID": "4294967291"}, ALONE, id="the batch step"),
        pytest.param(SLURM_BATCH | {"SLURM_STEP_ID": "4294967290"}, ALONE, id="an interactive step"),
        pytest.param(SLURM_BATCH | OPENMPI_4, Rank(1, 2, 1, 2, "openmpi"), id="mpirun inside sbatch"),
        pytest.param(SLURM_TASK | OPENMPI_5, Rank(0, 2, 0, 2, "openmpi"), id="mpirun inside srun"),
        pytest.param(SLURM_TASK | HYDRA, Rank(1, 2, 1, 2, "mpich"), id="mpiexec started through srun"),
    ],
)
def test_each_launcher_tells_its_rank(environ: dict[str, str], rank: Rank) -> None:
    assert read_rank(environ) == rank


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        pytest.param({"OMPI_COMM_WORLD_RANK": "1"}, "OMPI_COMM_WORLD_RANK=1", id="no size"),
        pytest.param({"OMPI_COMM_WORLD_RANK": "1"}, "OMPI_COMM_WORLD_SIZE is not set", id="the missing one"),
        pytest.param(OPENMPI_4 | {"OMPI_COMM_WORLD_SIZE": "two"}, "OMPI_COMM_WORLD_SIZE='two'", id="word"),
        pytest.param(OPENMPI_4 | {"OMPI_COMM_WORLD_RANK": "-1"}, "OMPI_COMM_WORLD_RANK='-1'", id="negative"),
        pytest.param(OPENMPI_4 | {"OMPI_COMM_WORLD_RANK": "2"}, "OMPI_COMM_WORLD_RANK=2", id="rank 2 of 2"),
        pytest.param(
            OPENMPI_4 | {"OMPI_COMM_WORLD_LOCAL_SIZE": "3"}, "LOCAL_SIZE=3", id="more here than in all"
        ),
        pytest.param(HYDRA | {"MPI_LOCALRANKID": "2"}, "MPI_LOCALRANKID=2", id="local rank 2 of 2"),
        pytest.param(HYDRA | {"PMI_SIZE": "0"}, "PMI_SIZE=0", id="size 0"),
        pytest.param(SLURM_TASK | {"SLURM_NODEID": "2"}, "SLURM_NODEID=2", id="node 2 of 2"),
        pytest.param(SLURM_TASK | {"SLURM_STEP_TASKS_PER_NODE": "2(x)"}, "=2(x)", id="bad task list"),
        pytest.param({"PMIX_RANK": "1"}, "PMIX_RANK=1", id="prterun keeps the size to itself"),
        pytest.param({"SLURM_STEP_ID": "0"}, "SLURM_PROCID is not set", id="step without a rank"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_variable_and_its_value(
    environ: dict[str, str], named: str
) -> None:
    with pytest.raises(LauncherError) as caught:
        read_rank(environ)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_child_of_a_process_that_is_an_mpi_world_by_itself_is_alone() -> None:
    # What MPI_Init of Open MPI 4.1 leaves in the environment without mpirun, in parts.
    left = {"OMPI_MCA_ess": "singleton", "PMIX_RANK": "0", "PMIX_NAMESPACE": "1276510209"}
    assert read_rank(left) == ALONE
    hydra = {"PMI_RANK": "1", "PMI_SIZE": "2", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2"}
    assert read_rank(left | hydra) == Rank(1, 2, 1, 2, "mpich")


@pytest.mark.parametrize("numbers", [(2, 2, 0, 1), (-1, 2, 0, 1), (0, 0, 0, 1), (0, 2, 1, 1), (0, 2, 0, 3)])
def test_a_rank_that_cannot_be_is_refused(numbers: tuple[int, int, int, int]) -> None:
    with pytest.raises(LauncherError):
        Rank(*numbers, launcher="test")


def test_two_processes_of_a_real_mpirun_are_rank_0_and_1_of_2(tmp_path: Path) -> None:
    if shutil.which("mpirun") is None:
        pytest.skip("mpirun is not installed")
    code = (
        "import os, pathlib; from launchers import read_rank\n"
        "pathlib.Path(str(os.getpid())).write_text(repr(read_rank(os.environ)))"
    )
    root = Path(__file__).parents[2]
    allow = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "PYTHONPATH": str(root)}
    command = ["mpirun", "-n", "2", sys.executable, "-c", code]
    oversubscribe = {
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    }
    environ = {**os.environ, **allow, **oversubscribe}
    subprocess.run(command, env=environ, check=True, cwd=tmp_path)
    # Two processes may print on one line; each has a file of its own.
    ranks = sorted(path.read_text() for path in tmp_path.iterdir())
    assert ranks == [
        f"Rank(index={index}, size=2, local_index={index}, local_size=2, launcher='openmpi')"
        for index in (0, 1)
    ]
