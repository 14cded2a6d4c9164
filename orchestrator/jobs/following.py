"""A submitted job in; its output and its progress as they come, and its exit code at the end, out."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from launchers import SlurmError, read_job_states
from orchestrator.jobs.progress import trials_done
from orchestrator.jobs.record import JobRecord, write_record
from orchestrator.paths import JobPaths

FIRST_LOOK_S, LONGEST_LOOK_S = 1.0, 15.0  # between looks: the controller serves all users
GONE = 1


@dataclass(slots=True)
class Tail:
    """What is new in the output files of a job."""

    record: JobRecord
    _read: dict[Path, int] = field(default_factory=dict)

    def new_lines(self, is_last: bool = False) -> Iterator[str]:
        """Whole lines that came since the last call, of an array with the task's name; at last all."""
        for path in self.record.outputs():
            label = f"[{path.stem}] " if self.record.n_tasks > 1 else ""
            for line in self._lines_of(path, is_last):
                yield f"{label}{line}"

    def _lines_of(self, path: Path, is_last: bool) -> list[str]:
        begin = self._read.get(path, 0)
        try:
            with path.open("rb") as file:
                file.seek(begin)
                data = file.read()
        except OSError:  # it comes and goes with the file system of the nodes
            return []
        whole = len(data) if is_last else data.rfind(b"\n") + 1
        self._read[path] = begin + whole
        return data[:whole].decode(errors="replace").splitlines()


def follow(record: JobRecord, paths: JobPaths, folder: Path, note: Callable[[str], None]) -> int:
    """Return when the job is over: 0 when it did what it should, else its code.

    Output goes to standard output, states and trials to ``note``. KeyboardInterrupt ends the following alone.
    """
    tail, said, look_s, times_over = Tail(record), "", FIRST_LOOK_S, 0
    while True:
        looked = _looked(record, note)
        if looked is None:
            note(f"Slurm has forgotten job {record.job_id}; see its output: {record.output}")
            return GONE
        if looked.state != record.state:
            write_record(looked, paths)
        record = looked
        times_over = times_over + 1 if record.is_over else 0
        for line in tail.new_lines(is_last=times_over > 1):
            print(line, flush=True)
        now = describe(record, trials_done(record, folder))
        if now != said:
            note(now)
            said, look_s = now, FIRST_LOOK_S
        if times_over > 1:  # once may be the moment between a node's end and the requeue
            return record.exit_code if record.exit_code is not None else GONE
        time.sleep(look_s)
        look_s = min(look_s * 1.2, LONGEST_LOOK_S) if not record.is_over else FIRST_LOOK_S


def _looked(record: JobRecord, note: Callable[[str], None]) -> JobRecord | None:
    """The record as Slurm sees it now; as it was while Slurm does not answer; None: it knows no such job."""
    try:
        states = read_job_states([record.job_id]).get(record.job_id)
    except SlurmError as error:
        note(f"{error} Still waiting.")
        return record
    return record.seen(states) if states else None


def describe(record: JobRecord, done: int | None) -> str:
    """``Job 12: RUNNING, 12 of 400 trials``."""
    total = "" if record.n_trials is None else f" of {record.n_trials}"
    trials = "" if done is None else f", {done}{total} trials"
    return f"Job {record.job_id}: {record.state or 'submitted'}{trials}"


def to_stderr(text: str) -> None:
    """A note beside the output."""
    print(f"nano-hpo: {text}", file=sys.stderr, flush=True)
