"""``nano-hpo doctor``: what a run needs, looked at in order; a storage in, checks out."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.doctor.check import Check, Verdict, as_json, render, within
from orchestrator.doctor.environment import environment_checks
from orchestrator.doctor.machine import Machine, machine_checks, read_machine
from orchestrator.doctor.mpi import mpi_checks
from orchestrator.doctor.packages import package_checks
from orchestrator.doctor.slurm import slurm_checks
from orchestrator.doctor.software import software_checks
from orchestrator.doctor.storage import storage_checks

__all__ = ["Check", "Verdict", "as_json", "examine", "render"]


def examine(url: str | None) -> Iterator[Check]:
    """Look at software, machine, launchers, surroundings and, where one is named, the storage.

    Creates nothing. Other programs have some seconds to answer.
    """
    machine = read_machine()
    allowance, n_cores = (machine.allowance, machine.n_cores) if isinstance(machine, Machine) else (None, 1)
    yield from within("software", software_checks(url))
    yield from within("software", package_checks())
    yield from within("machine", machine_checks(machine))
    yield from within("launchers", mpi_checks())
    yield from within("launchers", slurm_checks())
    yield from within("environment", environment_checks(allowance, n_cores))
    if url is not None:
        yield from within("storage", storage_checks(url, n_cores))
