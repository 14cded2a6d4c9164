"""A checked job and its script in; the job in Slurm's queue, its files in the folder, and its record out."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from launchers import JobScript, submit_script
from orchestrator.jobs.record import JobRecord, write_record
from orchestrator.paths import RUNS_FOLDER, JobPaths, write_whole
from orchestrator.server.accounts import DATABASE
from orchestrator.server.asking import storage_url
from orchestrator.server.files import ServerFiles
from orchestrator.spec import RunSpec
from orchestrator.storage_url import masked


def submit_job(script: str, job: JobScript, spec: RunSpec, folder: Path, run_dir: Path | None) -> JobRecord:
    """Write the script into ``folder``, hand it to Slurm from there, and keep both under the job's id.

    ``run_dir`` is where the run is to write, if that was asked for. Raises ``SlurmError`` when Slurm refuses;
    then nothing is left.
    """
    paths = JobPaths.of_folder(folder)
    new = paths.new_script()
    write_whole(new, script, mode=0o600)
    try:
        job_id = submit_script(new, folder)
        new.replace(paths.script(job_id))
    finally:
        new.unlink(missing_ok=True)
    record = record_of(job_id, job, spec, folder, run_dir)
    write_record(record, paths)
    return record


def record_of(job_id: str, job: JobScript, spec: RunSpec, folder: Path, run_dir: Path | None) -> JobRecord:
    """What there is to know of a job with this id, submitted now from ``folder``."""
    url = _database_url(job, folder) if job.kind == "database" else spec.storage_url
    name = f"nano-hpo-{job_id}_%a.out" if job.tasks else f"nano-hpo-{job_id}.out"
    return JobRecord(
        job_id=job_id,
        submitted=datetime.now(UTC).isoformat(timespec="seconds"),
        study=spec.study_name,
        n_trials=spec.n_trials,
        storage=None if url is None else masked(url),
        has_secret=url is not None and masked(url) != url,
        run_dir=None if run_dir is None else str(run_dir.expanduser().resolve()),
        command=("run", *job.command),
        script=str(JobPaths.of_folder(folder).script(job_id)),
        output=str(folder / name),
        n_tasks=int(job.array.partition("%")[0]) if job.array else 1,
    )


def _database_url(job: JobScript, folder: Path) -> str:
    """Where the job's own server will be found while it runs; the URL holds no secret."""
    place = Path(job.database) if job.database else folder / RUNS_FOLDER / "database"
    return storage_url(ServerFiles.at(place), DATABASE)
