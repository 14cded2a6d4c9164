"""An agent's environment in, its workers' environment out: without everything that says «you are a rank».

An agent may be task 3 of a Slurm step or rank 3 of an MPI world; its workers are neither. Left in place, the
variables make Lightning raise or wait for peers, and a child that imports mpi4py joins the world as its
parent's rank. What goes and what stays is a table with the reason beside each line. The job's own description
stays: a worker may ask for `SLURM_JOB_ID` or `SLURM_CPUS_PER_TASK`.
"""

from collections.abc import Mapping

__all__ = ["KEPT_PREFIXES", "STRIPPED_NAMES", "STRIPPED_PREFIXES", "worker_environment"]

STRIPPED_NAMES: Mapping[str, str] = {
    "SLURM_PROCID": "rank of the agent's task; Slurm's PMI, Lightning and JAX read it",
    "SLURM_LOCALID": "local rank of the agent's task",
    "SLURM_NODEID": "node of the agent's task within its step",
    "SLURM_NTASKS": "Lightning takes any process that has it for a task of srun",
    "SLURM_NPROCS": "the old name of SLURM_NTASKS",
    "SLURM_NTASKS_PER_NODE": "Lightning compares it with its number of devices and raises",
    "SLURM_TASKS_PER_NODE": "sizes of the agent's step, read by Slurm's PMI",
    "SLURM_GTIDS": "ranks on this node",
    "SLURM_TASK_PID": "the agent's pid, not the worker's",
    "SLURM_LAUNCH_NODE_IPADDR": "where the agent's srun listens",
    "SLURM_DISTRIBUTION": "how srun laid out the agents; an srun of a worker would inherit it",
    "SLURM_MPI_TYPE": "the --mpi of the agents' srun; an srun of a worker would inherit it",
}

STRIPPED_PREFIXES: Mapping[str, str] = {
    "SLURM_STEP": "the agent's step: SLURM_STEP_ID, SLURM_STEPID, SLURM_STEP_TASKS_PER_NODE, …",
    "SLURM_SRUN_": "sockets of the agent's srun",
    "SLURM_PMI": "Slurm's PMI-2 and PMIx plugins (SLURM_PMIX_*, SLURM_PMI2_*, SLURM_PMI_*)",
    "SLURM_CPU_BIND": "binding of the agent's task; a worker has its own",
    "PMI_": "PMI-1 and PMI-2: rank, size and the socket to the launcher",
    "PMI2_": "PMI-2",
    "PMIX_": "PMIx: rank, name space and server of the agent",
    "OMPI_": "Open MPI's world, local ranks and run-time",
    "PRTE_": "Open MPI 5's run-time",
    "HYDRA_": "MPICH's and Intel MPI's process manager",
    "HYDI_": "control socket of Hydra's proxy",
    "MPI_LOCAL": "MPICH's local rank and size",
    "I_MPI_PIN_INFO": "the CPUs to which Intel MPI bound the agent",
    "I_MPI_PIN_MAPPING": "the same of all its ranks on this node",
    "MV2_COMM_WORLD_": "MVAPICH's ranks",
    "PALS_": "HPE Cray's launcher: ranks and its socket",
}

KEPT_PREFIXES: Mapping[str, str] = {
    "OMPI_ALLOW_RUN_AS_ROOT": "the user's permission, not a rank",
    "OMPI_MCA_btl": "the user's choice of transport; without it a single-process MPI may crash or warn",
    "OMPI_MCA_pml": "the same, one layer up",
    "OMPI_MCA_mtl": "the same, one layer up",
    "OMPI_MCA_coll": "the user's choice of collectives",
}


def worker_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """A copy of `environ` without what makes a worker look like a task of Slurm or a rank of MPI."""
    return {name: value for name, value in environ.items() if not _is_stripped(name)}


def _is_stripped(name: str) -> bool:
    if name.startswith(tuple(KEPT_PREFIXES)):
        return False
    return name in STRIPPED_NAMES or name.startswith(tuple(STRIPPED_PREFIXES))
