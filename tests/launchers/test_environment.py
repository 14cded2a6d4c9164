"""What a worker inherits, and the id of the allocation it runs in."""

import pytest

from launchers import ALONE, allocation_id, read_rank, worker_environment

RANK_VARIABLES = [
    "SLURM_PROCID",
    "SLURM_LOCALID",
    "SLURM_NODEID",
    "SLURM_NTASKS",  # Lightning's SLURMEnvironment.detect
    "SLURM_NPROCS",
    "SLURM_NTASKS_PER_NODE",
    "SLURM_STEP_ID",
    "SLURM_STEPID",
    "SLURM_STEP_TASKS_PER_NODE",
    "SLURM_TASKS_PER_NODE",
    "SLURM_GTIDS",
    "SLURM_SRUN_COMM_PORT",
    "SLURM_PMIX_MAPPING_SERV",
    "SLURM_CPU_BIND_LIST",
    "PMI_RANK",
    "PMI_FD",
    "PMI2_RANK",
    "PMIX_RANK",
    "PMIX_SERVER_URI41",
    "OMPI_COMM_WORLD_RANK",
    "OMPI_MCA_ess",
    "OMPI_MCA_orte_hnp_uri",
    "PRTE_LAUNCHED",
    "HYDRA_LAUNCHER",
    "HYDI_CONTROL_FD",
    "MPI_LOCALRANKID",
    "MPI_LOCALNRANKS",
    "I_MPI_PIN_INFO",
    "I_MPI_PIN_MAPPING",
]
OTHERS = [
    "PATH",
    "OMP_NUM_THREADS",
    "SLURM_JOB_ID",
    "SLURM_JOB_NAME",
    "SLURM_CPUS_PER_TASK",
    "SLURM_SUBMIT_DIR",
    "SLURM_CONF",
    "OMPI_ALLOW_RUN_AS_ROOT",
    "OMPI_MCA_btl",
    "PMIXTURE",
    "I_MPI_FABRICS",
]


@pytest.mark.parametrize("name", RANK_VARIABLES)
def test_a_worker_does_not_inherit_what_makes_it_a_rank(name: str) -> None:
    assert worker_environment({name: "1", "PATH": "/bin"}) == {"PATH": "/bin"}


@pytest.mark.parametrize("name", OTHERS)
def test_a_worker_inherits_everything_else(name: str) -> None:
    assert worker_environment({name: "1"}) == {name: "1"}


def test_a_worker_of_a_rank_is_alone_and_the_agents_environment_is_untouched() -> None:
    environ = dict.fromkeys(RANK_VARIABLES, "1")
    assert read_rank(worker_environment(environ)) == ALONE
    assert len(environ) == len(RANK_VARIABLES)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": ""}, None),
        ({"SLURM_JOB_ID": "42", "SLURM_RESTART_COUNT": "3"}, "42"),
        ({"SLURM_JOB_ID": "43", "SLURM_ARRAY_JOB_ID": "42", "SLURM_ARRAY_TASK_ID": "1"}, "42"),
    ],
)
def test_the_allocations_id_is_the_jobs_or_the_arrays_and_outlives_a_requeue(
    environ: dict[str, str], expected: str | None
) -> None:
    assert allocation_id(environ) == expected
