"""This machine and how processes start on it: nothing in; checks of cores, MPI and Slurm out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec

from affinity import AffinityError, format_list, read_allowance, read_topology
from launchers import LauncherError, RankError, read_mpi_library, read_rank
from orchestrator.doctor.check import Check, bad, good, mind


def machine_checks() -> Iterator[Check]:
    """Cores and what may be used of them; which launchers are there, and whether one has started us."""
    yield _cores()
    yield _launchers()
    yield _mpi()
    yield _rank()


def _cores() -> Check:
    try:
        topology = read_topology()
        allowance = read_allowance(topology)
    except AffinityError as error:
        return bad("cores", str(error), "nano-hpo reads them from /sys: is it mounted?")
    cores = topology.cores_within(allowance.pus)
    model = f" of {topology.cpu_model}" if topology.cpu_model else ""
    said = f"{len(cores)} usable (PUs {format_list(allowance.pus)}){model}"
    quota = allowance.quota_cpus
    if quota is not None and quota < len(allowance.pus):
        return mind("cores", f"{said}, but only {quota:g} CPUs by quota", "see nano-hpo topology")
    return good("cores", said)


def _launchers() -> Check:
    found = [path for name in ("mpirun", "mpiexec", "srun", "sbatch") if (path := shutil.which(name))]
    return good("launchers", ", ".join(found) or "neither MPI nor Slurm: one machine at a time")


def _mpi() -> Check:
    if find_spec("mpi4py") is None:
        return good("mpi4py", "not installed: the launcher's environment tells ranks")
    try:
        return good("mpi4py", f"uses {read_mpi_library()}")
    except LauncherError as error:
        return mind("mpi4py", str(error), "until then the launcher's environment tells ranks")


def _rank() -> Check:
    try:
        rank = read_rank(os.environ)
    except RankError as error:
        return bad("rank", str(error), "a run would stop with the same words")
    if rank.size == 1:
        return good("rank", f"alone ({rank.launcher})" if rank.launcher != "alone" else "alone")
    return good("rank", f"{rank.index} of {rank.size}, by {rank.launcher}")
