"""What ``nano-hpo submit`` does: flags and the words of a run in; a job in Slurm's queue, and its id, out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from launchers import JobScript
    from launchers.job_script import Kind
    from orchestrator.jobs.record import JobRecord
    from orchestrator.spec import RunSpec


def submit(options: argparse.Namespace) -> int:
    """Check, render, submit, record, and follow if asked; nothing is written before all is checked."""
    from launchers.job_rendering import render
    from orchestrator.cli.effective import effective, naming_the_file
    from orchestrator.cli.jobs import job_json
    from orchestrator.cli.run import asked_for
    from orchestrator.jobs.submission import submit_job
    from orchestrator.results import dumps

    words = _run_words(options)
    run_options = effective(options.parse(["run", *words]))
    job = _job(options, words, run_options)
    with naming_the_file(run_options.sources):
        spec, _ = asked_for(run_options)
    _check(options, job, run_options, spec)
    script = render(job)
    if options.dry_run:
        print(_plan_json(script, job, spec, run_options.run_dir) if options.json else script, end="")
        return 0
    record = submit_job(script, job, spec, Path.cwd(), run_options.run_dir)
    if options.json:
        print(dumps(job_json(record, done=None)), flush=True)
    elif options.parsable:
        print(record.job_id, flush=True)
    else:
        print("\n".join(_lines(record)), flush=True)
    return _follow(record) if options.wait else 0


def _run_words(options: argparse.Namespace) -> list[str]:
    """The words of the search, as ``nano-hpo run`` will read them."""
    from orchestrator.errors import SpecError

    words: list[str] = options.run_words or []
    if words[:1] != ["run"] or len(words) == 1:
        raise SpecError("Write the search at the end: nano-hpo submit [options] -- run FILE.py:FUNCTION …")
    return words[1:]


def _job(options: argparse.Namespace, words: list[str], run_options: argparse.Namespace) -> JobScript:
    """What the settings (of flags, of the search's study file, of slurm.toml) and the words come to."""
    from launchers import JobScript
    from orchestrator.jobs.settings import KEYS, merged, settings_file

    study = dict(run_options.slurm)
    database = options.database if options.database is not None else study.pop("database", None)
    profile = options.profile if options.profile is not None else study.pop("profile", None)
    flags = {key: getattr(options, key.replace("-", "_")) for key in KEYS}
    named = {key: value for key, value in study.items() if key in KEYS}
    found = merged(flags, profile, settings_file(), named)
    chosen = {key.replace("-", "_"): value for key, value in found.items()}
    directives = tuple(chosen.pop("directive", ()))
    setup = (*_own_environment(), *chosen.pop("setup", ()))
    if database:
        chosen["database"] = str(Path(database).expanduser().resolve())
    kind = _kind(chosen, chosen.pop("mpirun", False), database is not None)
    chosen |= _server(chosen.pop("server", None), options, kind)
    command = (*_width(run_options, chosen), *words)
    settings = {"nodes": 1, **chosen}
    return JobScript(kind=kind, command=command, directives=directives, setup=setup, **settings)


def _width(run_options: argparse.Namespace, chosen: dict[str, Any]) -> list[str]:
    """A study file's ``n_parallels``, as words: else the script's own count, being typed, would win over it.

    A wish for ``cores-per-trial`` says the same of jobs, and wins.
    """
    if run_options.sources.named["n_parallels"] != "file" or "cores_per_trial" in chosen:
        return []
    return ["--n-parallels", run_options.n_parallels]


def _kind(chosen: dict[str, Any], has_mpirun: bool, has_database: bool) -> Kind:
    from orchestrator.errors import SpecError

    if has_mpirun and has_database:
        raise SpecError("--database starts its agents by srun; leave --mpirun out.")
    if has_database:
        return "database"
    if has_mpirun:
        return "search_mpirun"
    if chosen.get("nodes", 1) > 1 or chosen.get("ntasks_per_node", 1) > 1:
        return "search_multinode"
    return "search_array" if "array" in chosen else "search"


def _server(named: str | None, options: argparse.Namespace, kind: Kind) -> dict[str, str]:
    """The program for the job's own server; one in the settings is for the jobs that have a server."""
    from orchestrator.errors import SpecError
    from orchestrator.server.choice import chosen_server

    if kind != "database" and options.server is not None:
        raise SpecError(
            "--server of submit is for --database: give that too, or write it behind -- with --storage "
            "auto:mysql."
        )
    server = chosen_server(named) if kind == "database" and named is not None else None
    return {} if server is None else {"server": server}


def _own_environment() -> tuple[str, ...]:
    """The environment that this command belongs to, before what the user's own lines put in front of it."""
    import shlex

    folder = Path(sys.executable).parent
    if not (folder / "nano-hpo").exists():
        return ()
    return (f'export PATH={shlex.quote(str(folder))}:"$PATH" # where nano-hpo is that wrote this',)


def _check(
    options: argparse.Namespace, job: JobScript, run_options: argparse.Namespace, spec: RunSpec
) -> None:
    from orchestrator.jobs.checks import (
        require_fitting_storage,
        require_loadable,
        require_no_secret,
        require_plan,
    )

    require_no_secret((*job.command, *job.setup, *job.directives))
    require_fitting_storage(spec, job)
    if options.no_check:
        return
    require_plan(spec, job, run_options.run_dir, run_options.run_id)
    if run_options.space is None:
        require_loadable(run_options.objective)


def _plan_json(script: str, job: JobScript, spec: RunSpec, run_dir: Path | None) -> str:
    """A job that might be; its id, and what is named after it, only Slurm could say."""
    from orchestrator.cli.jobs import job_json
    from orchestrator.jobs.submission import record_of
    from orchestrator.results import dumps

    planned = job_json(record_of("", job, spec, Path.cwd(), run_dir), done=None)
    unknown = dict.fromkeys(("job_id", "submitted", "output", "script"))
    return dumps({**planned, **unknown, "text": script}) + "\n"


def _lines(record: JobRecord) -> list[str]:
    tasks = f" (an array of {record.n_tasks})" if record.n_tasks > 1 else ""
    return [
        f"Job:     {record.job_id}{tasks}",
        f"Script:  {record.script}",
        f"Output:  {record.output.replace('%a', '*')}",
        f"See it:  nano-hpo jobs        End it:  nano-hpo cancel {record.job_id}",
    ]


def _follow(record: JobRecord) -> int:
    """Follow the job until it is over; its exit code. Ctrl-C ends the following alone."""
    from orchestrator.jobs.following import follow, to_stderr
    from orchestrator.paths import JobPaths

    folder = Path.cwd()
    try:
        return follow(record, JobPaths.of_folder(folder), folder, to_stderr)
    except KeyboardInterrupt:
        to_stderr(f"job {record.job_id} goes on without us; nano-hpo cancel {record.job_id} would end it.")
        return 130
