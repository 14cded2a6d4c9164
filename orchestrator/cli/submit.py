"""``nano-hpo submit``: flags and the words of a run in; a script in Slurm's queue, and its id, out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli.db import SERVER_HELP

if TYPE_CHECKING:
    from launchers import JobScript
    from orchestrator.jobs.record import JobRecord
    from orchestrator.spec import RunSpec

_EPILOG = """\
A study file may say all of this in a table [slurm], by the same names, with profile and database: it wins
over slurm.toml, and flags win over it. The job reads the file when it starts.

~/.config/nano-hpo/slurm.toml ($XDG_CONFIG_HOME is respected) may hold what your site wants, by the names of
these flags; flags win over the profile, and that over the defaults; lines of setup and directives add up:

  [defaults]
  account = "project"
  setup = ["module load python/3.11", 'source "$HOME/venvs/search/bin/activate"']

  [profiles.short]
  partition = "express"
  time = "00:30:00"

A job whose time ends before the budget is spent goes back into the queue by itself and goes on.
Exit codes of --wait: those of the search; 130 for a job that was cancelled, 75 for one cut off.

examples:
  nano-hpo submit --time 02:00:00 -- run train.py:objective --n-trials 400
  nano-hpo submit --nodes 4 --setup 'module load python' -- run train.py:objective -n 400 --storage mysql://…
  nano-hpo submit --array 8 --profile short -- run train.py:objective -n 400 --storage mysql://…
  nano-hpo submit --nodes 4 --database -- run train.py:objective -n 400
  nano-hpo submit --dry-run -- run train.py:objective -n 400
  nano-hpo submit -- run study.toml"""


def add_submit(subparsers: Any) -> None:
    """The verb and its options."""
    parser = subparsers.add_parser(
        "submit",
        help="run a search as a Slurm job",
        usage="%(prog)s [options] -- run FILE.py:FUNCTION [options of nano-hpo run]",
        description="Check a search, write a job script for it, and hand it to Slurm.",
        epilog=_EPILOG,
    )
    _add_shape(parser)
    _add_place(parser)
    _add_script(parser)
    _add_doing(parser)
    _keep_words(parser)
    parser.set_defaults(handler=submit)


def _keep_words(parser: argparse.ArgumentParser) -> None:
    """What stands behind the first ``--`` is the run's."""
    from orchestrator.cli.run_options import divided

    parse = parser.parse_known_args

    def parse_known_args(args: Any = None, namespace: Any = None) -> Any:
        words, run_words = divided(list(args))
        options, unknown = parse(words, namespace)
        options.run_words = run_words
        return options, unknown

    parser.parse_known_args = parse_known_args  # type: ignore[method-assign]  # else argparse reads them too


def _add_shape(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("size")
    group.add_argument("-N", "--nodes", type=int, metavar="N", help="machines, an agent on each (default 1)")
    group.add_argument("-t", "--time", metavar="TIME", help="hours:minutes:seconds (default 04:00:00)")
    group.add_argument(
        "--array", metavar="N[%M]", help="N independent jobs that join one study, at most M of them at a time"
    )
    group.add_argument(
        "-c",
        "--cpus-per-task",
        type=int,
        metavar="N",
        help="cores of an agent for all its trials (default 16)",
    )
    group.add_argument(
        "--cores-per-trial", type=int, metavar="N", help="of them for each trial at a time (default 4)"
    )
    group.add_argument("--ntasks-per-node", type=int, metavar="N", help="agents on a machine (default 1)")
    group.add_argument("--mem", metavar="SIZE", help="memory of a machine, as 32G")
    _add_switch(group, "--exclusive", "whole machines, with all their cores")
    group.add_argument("--hint", metavar="HINT", help="nomultithread: cores and not hardware threads")


def _add_place(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("queue")
    group.add_argument("-J", "--job-name", metavar="NAME", help="default nano-hpo")
    group.add_argument("-A", "--account", metavar="NAME", help="who pays")
    group.add_argument("-p", "--partition", metavar="NAME", help="which part of the cluster")
    group.add_argument("-q", "--qos", metavar="NAME", help="quality of service")
    group.add_argument("-C", "--constraint", metavar="LIST", help="features that the nodes must have")
    group.add_argument("-d", "--dependency", metavar="LIST", help="as afterok:JOBID")
    group.add_argument(
        "--signal", metavar="S", help="seconds before its end at which Slurm warns, as 120 or USR1@120"
    )
    group.add_argument(
        "--max-requeues",
        type=int,
        metavar="N",
        help="how often a job may go on when its time is over (default 10)",
    )
    group.add_argument(
        "--directive",
        action="append",
        metavar="OPTION",
        help="any other option of sbatch, as '--gres=gpu:1'; may be repeated",
    )


def _add_script(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("script")
    group.add_argument("--profile", metavar="NAME", help="settings of [profiles.NAME] in slurm.toml")
    group.add_argument(
        "--setup",
        action="append",
        metavar="LINE",
        help="a line of bash before the search, as 'module load python/3.11'; may be repeated",
    )
    _add_switch(group, "--mpirun", "start the agents by mpirun (default: by srun)")
    group.add_argument(
        "--database",
        nargs="?",
        const="",
        metavar="DIR",
        help="the job starts a private database server, its data in DIR (default ./nano-hpo-runs/database)",
    )
    group.add_argument("--server", metavar="PATH", help=f"for --database: {SERVER_HELP}")


def _add_switch(group: Any, flag: str, text: str) -> None:
    group.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)


def _add_doing(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to do")
    group.add_argument("--dry-run", action="store_true", help="print the script and submit nothing")
    group.add_argument(
        "--no-check", action="store_true", help="look at neither objective nor database before"
    )
    group.add_argument(
        "--wait", action="store_true", help="follow the job until it is over; Ctrl-C ends the following alone"
    )
    group.add_argument("--parsable", action="store_true", help="print the job id alone")
    group.add_argument(
        "--json", action="store_true", help="print the job as JSON, with the keys of nano-hpo jobs"
    )


def submit(options: argparse.Namespace) -> int:
    """Check, render, submit, record, and follow if asked; nothing is written before all is checked."""
    from launchers.job_rendering import render
    from orchestrator.cli.effective import effective
    from orchestrator.cli.jobs import job_json
    from orchestrator.cli.run import asked_for
    from orchestrator.jobs.following import to_stderr
    from orchestrator.results import dumps

    words = _run_words(options)
    run_options = effective(options.parse(["run", *words]))
    job = _job(options, words, run_options)
    spec, _ = asked_for(run_options)
    _check(options, job, run_options, spec)
    script = render(job)
    if options.dry_run:
        print(script, end="")
        return 0
    record = _submit(script, job, run_options, spec)
    if options.json:
        print(dumps(job_json(record, done=None)), flush=True)
    elif options.parsable:
        print(record.job_id, flush=True)
    else:
        print("\n".join(_lines(record)), flush=True)
    return _follow(record, to_stderr) if options.wait else 0


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
    has_mpirun, lists = chosen.pop("mpirun", False), {}
    lists["directives"] = tuple(chosen.pop("directive", ()))
    lists["setup"] = (*_own_environment(), *chosen.pop("setup", ()))
    if database:
        chosen["database"] = str(Path(database).expanduser().resolve())
    kind = _kind(chosen, has_mpirun, database is not None)
    chosen |= _server(chosen.pop("server", None), options, kind)
    command = (*_width(run_options, chosen), *words)
    return JobScript(kind=kind, command=command, **{"nodes": 1, **chosen, **lists})


def _width(run_options: argparse.Namespace, chosen: dict[str, Any]) -> list[str]:
    """A study file's ``n_parallels``, as words: else the script's own count, being typed, would win over it.

    A wish for ``cores-per-trial`` says the same of jobs, and wins.
    """
    if run_options.sources.named["n_parallels"] != "file" or "cores_per_trial" in chosen:
        return []
    return ["--n-parallels", run_options.n_parallels]


def _kind(chosen: dict[str, Any], has_mpirun: bool, has_database: bool) -> Any:
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


def _server(named: str | None, options: argparse.Namespace, kind: str) -> dict[str, str]:
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


def _submit(script: str, job: JobScript, run_options: argparse.Namespace, spec: RunSpec) -> JobRecord:
    """Write the script, hand it to Slurm, and keep both under the job's id."""
    from launchers import submit_script
    from orchestrator.jobs.record import write_record
    from orchestrator.paths import JobPaths, write_whole

    folder = Path.cwd()
    paths = JobPaths.of_folder(folder)
    new = paths.new_script()
    write_whole(new, script, mode=0o600)
    try:
        job_id = submit_script(new, folder)
        new.replace(paths.script(job_id))
    finally:
        new.unlink(missing_ok=True)
    record = _record(job_id, job, run_options, spec, folder)
    write_record(record, paths)
    return record


def _record(
    job_id: str, job: JobScript, run_options: argparse.Namespace, spec: RunSpec, folder: Path
) -> JobRecord:
    from datetime import UTC, datetime

    from orchestrator.jobs.record import JobRecord
    from orchestrator.paths import JobPaths
    from orchestrator.storage_url import masked

    url = _database_url(job, folder) if job.kind == "database" else spec.storage_url
    name = f"nano-hpo-{job_id}_%a.out" if job.tasks else f"nano-hpo-{job_id}.out"
    return JobRecord(
        job_id=job_id,
        submitted=datetime.now(UTC).isoformat(timespec="seconds"),
        study=spec.study_name,
        n_trials=spec.n_trials,
        storage=None if url is None else masked(url),
        has_secret=url is not None and masked(url) != url,
        run_dir=None if run_options.run_dir is None else str(run_options.run_dir.expanduser().resolve()),
        command=("run", *job.command),
        script=str(JobPaths.of_folder(folder).script(job_id)),
        output=str(folder / name),
        n_tasks=int(job.array.partition("%")[0]) if job.array else 1,
    )


def _database_url(job: JobScript, folder: Path) -> str:
    """Where the job's own server will be found while it runs; the URL holds no secret."""
    from orchestrator.paths import RUNS_FOLDER
    from orchestrator.server.accounts import DATABASE
    from orchestrator.server.asking import storage_url
    from orchestrator.server.files import ServerFiles

    place = Path(job.database) if job.database else folder / RUNS_FOLDER / "database"
    return storage_url(ServerFiles.at(place), DATABASE)


def _lines(record: JobRecord) -> list[str]:
    tasks = f" (an array of {record.n_tasks})" if record.n_tasks > 1 else ""
    return [
        f"Job:     {record.job_id}{tasks}",
        f"Script:  {record.script}",
        f"Output:  {record.output.replace('%a', '*')}",
        f"See it:  nano-hpo jobs        End it:  nano-hpo cancel {record.job_id}",
    ]


def _follow(record: JobRecord, note: Any) -> int:
    from orchestrator.jobs.following import follow
    from orchestrator.paths import JobPaths

    folder = Path.cwd()
    try:
        return follow(record, JobPaths.of_folder(folder), folder, note)
    except KeyboardInterrupt:
        note(f"job {record.job_id} goes on without us; nano-hpo cancel {record.job_id} would end it.")
        return 130
