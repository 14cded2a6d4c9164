"""Slurm: its commands in; checks of whether they are there and its controller answers out."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator

from launchers import read_allocation_end
from orchestrator.doctor.check import Check, good, mind, none
from orchestrator.doctor.programs import answer

_LATER = "jobs cannot be submitted now; 'scontrol ping' tells when it is back"
_NEEDED = ("sbatch", "srun", "squeue", "scancel", "scontrol")


def slurm_checks() -> Iterator[Check]:
    """Commands, controller, and the job around us."""
    there = [name for name in _NEEDED if shutil.which(name)]
    if not there:
        yield none("Slurm", "no commands on PATH: one machine, or mpirun")
        return
    missing = [name for name in _NEEDED if name not in there]
    if missing:
        step = "load Slurm's module, or log in to a node of the cluster"
        yield mind("Slurm", f"{', '.join(missing)} missing", step)
    else:
        yield good("Slurm", f"{', '.join(there)} on PATH")
    if "scontrol" in there:
        yield _controller()
    yield _job()


def _controller() -> Check:
    """Its clients wait for minutes when it is down."""
    asked = answer(["scontrol", "ping"])
    if asked is None:
        return mind("controller", "does not answer", _LATER)
    if "configuration source" in asked.text:
        return none("controller", "this machine is no part of a cluster")
    said = " ".join(asked.text.split())
    return good("controller", said) if re.search(r"\bUP\b", said) else mind("controller", said, _LATER)


def _job() -> Check:
    job = os.environ.get("SLURM_JOB_ID")
    if not job:
        return none("job", "this shell is in none")
    end = read_allocation_end(os.environ)
    return good("job", f"{job}{f'; {end}' if end else ''}")
