"""What is known of a submitted job: a record in; a file below ``nano-hpo-runs/jobs`` out, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from launchers import JobState
from orchestrator.paths import JobPaths, write_whole


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as it was submitted, and how it was when it was last looked at. It holds no password.

    storage: the URL, masked; None: an SQLite file of the run. has_secret: the whole URL is in the environment
    alone. output: where it writes, with %A and %a of an array. state, elapsed, exit_code: as last seen.
    """

    job_id: str
    submitted: str  # UTC, ISO 8601
    study: str
    n_trials: int | None
    storage: str | None
    has_secret: bool
    run_dir: str | None
    command: tuple[str, ...]
    script: str
    output: str
    n_tasks: int = 1
    state: str | None = None
    elapsed: str | None = None
    exit_code: int | None = None
    is_over: bool = False

    def seen(self, states: Sequence[JobState]) -> JobRecord:
        """The same with what Slurm says now; unchanged when it says nothing."""
        if not states:
            return self
        return replace(
            self,
            state=summed_up(states),
            elapsed=max((state.elapsed for state in states), key=lambda text: (len(text), text)),
            exit_code=worst_code(states),
            is_over=all(state.is_over for state in states),
        )

    def forgotten(self) -> JobRecord:
        """The same, when Slurm knows no such job any more: it is over, nobody can tell how."""
        return replace(self, state="FORGOTTEN", is_over=True)

    def outputs(self) -> list[Path]:
        """The output files that are there, one for each task of an array."""
        path = Path(self.output)
        if "%a" not in path.name:
            return [path] if path.exists() else []
        before, _, after = path.name.partition("%a")
        found = [
            one for one in path.parent.glob("*") if one.name.startswith(before) and one.name.endswith(after)
        ]
        return sorted(found, key=lambda one: (len(one.name), one.name))


def summed_up(states: Sequence[JobState]) -> str:
    """``RUNNING``; of an array ``2 COMPLETED, 1 RUNNING``."""
    names = [state.state for state in states]
    counts = {name: names.count(name) for name in sorted(set(names))}
    if len(counts) == 1:
        return names[0]
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def worst_code(states: Sequence[JobState]) -> int | None:
    """What the jobs end with together: None before all are over; 0 when each has done what it should.

    A job that was cancelled counts as interrupted (130), one that ran out of time as unfinished (75).
    """
    codes = [_code(state) for state in states]
    known = [code for code in codes if code is not None]
    return max(known, default=None) if len(known) == len(codes) else None


def _code(state: JobState) -> int | None:
    if not state.is_over or state.state == "COMPLETED":
        return 0 if state.is_over else None
    return {"CANCELLED": 130, "TIMEOUT": 75, "PREEMPTED": 75}.get(state.state) or state.exit_code or 1


def write_record(record: JobRecord, paths: JobPaths) -> None:
    """Write or replace the job's file, for its owner alone."""
    text = json.dumps(asdict(record), indent=2) + "\n"
    write_whole(paths.record(record.job_id), text, mode=0o600)


def read_records(paths: JobPaths) -> list[JobRecord]:
    """All recorded jobs, the latest last; files that are none are left out."""
    return sorted(_readable(paths), key=lambda record: (record.submitted, record.job_id))


def _readable(paths: JobPaths) -> Iterator[JobRecord]:
    names = {field.name for field in fields(JobRecord)}
    for path in paths.records():
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            chosen = {name: value for name, value in data.items() if name in names}
            yield JobRecord(**{**chosen, "command": tuple(chosen["command"])})
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            continue
