"""Slurm's commands: a script or job ids in; ids and states out. Every call ends in time.

A client of Slurm waits for minutes when the controller is down, so each runs under a time limit. What one
refuses is a `SlurmError` of one line, with what it said and what to do next.
"""

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import SlurmError

__all__ = ["OVER", "JobState", "cancel_jobs", "read_job_states", "submit_script"]

LIMIT_S = 60.0
# squeue(1), JOB STATE CODES; all others may still become running.
OVER = frozenset(
    {
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY"),
        *("PREEMPTED", "REVOKED", "TIMEOUT"),
    }
)
_QUEUE_FIELDS = "JobArrayID:64,State:24,TimeUsed:24,exit_code:16,Reason:80"
_HISTORY_FIELDS = "JobID,State,Elapsed,ExitCode"


@dataclass(frozen=True, slots=True)
class JobState:
    """A job, or a task of a job array (``12_3``), as Slurm knows it.

    state: the long name of squeue(1). elapsed: as ``1-02:03:04``. exit_code: of its script, 128 + N for one
    that signal N has ended; None while it is not over. reason: why it waits or was ended.
    """

    job_id: str
    state: str
    elapsed: str
    exit_code: int | None = None
    reason: str = ""

    @property
    def is_over(self) -> bool:
        """Whether it will not run any more."""
        return self.state in OVER


def submit_script(script: Path, folder: Path) -> str:
    """Hand a script to sbatch, to run in `folder`; the job's id."""
    said = _call(["sbatch", "--parsable", str(script)], folder)
    job_id = said.strip().splitlines()[-1].partition(";")[0] if said.strip() else ""
    if not job_id.isdigit():
        raise SlurmError(f"sbatch did not say a job id, but {said.strip()!r}; see squeue.")
    return job_id


def read_job_states(job_ids: Sequence[str]) -> dict[str, list[JobState]]:
    """What Slurm knows of jobs, by the ids asked for; of an array one state for each task.

    The queue forgets a job some minutes after its end (MinJobAge of slurm.conf(5)); then the accounting is
    asked, where a site has it. A job that neither knows has no states here.
    """
    if not job_ids:
        return {}
    found = _grouped(_queue(job_ids))
    missing = [job_id for job_id in job_ids if job_id not in found]
    return found | _grouped(_history(missing))


def _grouped(states: Iterable[JobState]) -> dict[str, list[JobState]]:
    found: dict[str, list[JobState]] = {}
    for state in states:
        found.setdefault(re.split(r"[_+]", state.job_id)[0], []).append(state)
    return found


def _queue(job_ids: Sequence[str]) -> list[JobState]:
    command = ["squeue", "--noheader", "--array", "--states=all", f"--Format={_QUEUE_FIELDS}"]
    try:
        said = _call([*command, f"--jobs={','.join(job_ids)}"])
    except SlurmError as error:
        if "Invalid job id" in str(error):  # said of a single one that the queue has forgotten
            return []
        raise
    return [_queued(line) for line in said.splitlines() if line.strip()]


def _queued(line: str) -> JobState:
    job_id, state, elapsed, status, reason = [*line.split(None, 4), ""][:5]
    raw = int(status) if status.isdigit() else 0
    code = 128 + (raw & 0x7F) if raw & 0x7F else raw >> 8  # as of wait(2)
    return JobState(job_id, state, elapsed, code if state in OVER else None, _reason(reason))


def _reason(text: str) -> str:
    return "" if text.strip() == "None" else text.strip()


def _history(job_ids: Sequence[str]) -> list[JobState]:
    if not job_ids or shutil.which("sacct") is None:
        return []
    command = [
        "sacct",
        "--allocations",
        "--noheader",
        "--parsable2",
        f"--format={_HISTORY_FIELDS}",
        "--array",
    ]
    try:
        said = _call([*command, f"--jobs={','.join(job_ids)}"])
    except SlurmError:  # a site without accounting
        return []
    return [_recorded(line) for line in said.splitlines() if line.count("|") == 3]


def _recorded(line: str) -> JobState:
    job_id, state, elapsed, status = line.split("|")
    state = state.split()[0]  # «CANCELLED by 1000»
    code, _, number = status.partition(":")
    exit_code = 128 + int(number) if number.isdigit() and int(number) else int(code) if code.isdigit() else 0
    return JobState(job_id, state, elapsed, exit_code if state in OVER else None)


def cancel_jobs(job_ids: Sequence[str]) -> None:
    """End jobs, or drop those that wait; no harm when one is over."""
    _call(["scancel", *job_ids])


def _call(command: Sequence[str], folder: Path | None = None) -> str:
    """The output of one command. Raises `SlurmError`."""
    program = command[0]
    if shutil.which(program) is None:
        raise SlurmError(
            f"{program} is not on PATH: log in to a node of the cluster, or load Slurm's module."
        )
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SlurmError(
            f"{program} has not answered for {LIMIT_S:g} s: Slurm's controller is down or busy. Try again "
            "later; 'scontrol ping' tells how it is."
        ) from None
    except OSError as error:
        raise SlurmError(f"{program} cannot be started ({error.strerror}).") from None
    if done.returncode != 0:
        raise SlurmError(
            f"{program} failed: {_said(done.stderr) or f'exit code {done.returncode}'}.{_advice(done.stderr)}"
        )
    return done.stdout


def _said(stderr: str) -> str:
    lines = [re.sub(r"^\w+: (error: )?", "", line.strip()) for line in stderr.splitlines() if line.strip()]
    return "; ".join(lines).rstrip(".")


_ADVICE: Mapping[str, str] = {
    "Unable to contact slurm controller": " Try again later; 'scontrol ping' tells whether it is back.",
    "invalid partition": " 'sinfo' lists the partitions.",
    "node configuration is not available": " 'sinfo -o \"%P %D %c %m\"' lists nodes, CPUs and memory.",
    "Invalid account": " 'sacctmgr show associations user=$USER' lists your accounts.",
    "Invalid job id": " 'squeue --me' and 'nano-hpo jobs' list jobs.",
    "Access/permission denied": " It may be somebody else's job.",
    "configuration source": " This machine is no part of a cluster: log in to one that is.",
}


def _advice(stderr: str) -> str:
    return next((advice for sign, advice in _ADVICE.items() if sign.lower() in stderr.lower()), "")
