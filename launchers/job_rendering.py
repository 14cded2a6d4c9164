"""A job in; its script, ready for sbatch, out. Pure: nothing is read and nothing is run.

The files of `slurm/` are what `render` makes of the five kinds with all defaults; a script with a command in
it differs from them by its head, that command and what was asked for.
"""

import re
import shlex
from collections.abc import Iterator

from . import job_text as text
from .job_script import JobScript, file_name

__all__ = ["render"]

CPUS_PER_TASK = 16
DATABASE_FOLDER = '"$PWD/nano-hpo-runs/database"'
COMMENT_COLUMN = 35

_PLAIN = re.compile(r"[\w@%+=:,./\[\]&|*!-]+", re.ASCII)  # needs no quotes in a line of #SBATCH


def render(job: JobScript) -> str:
    """The script. The same job gives the same text."""
    parts = [_head(job), _directive_lines(job), _setup(job), text.STRICT, _variables(job), *_body(job)]
    return "#!/bin/bash\n" + "\n\n".join(parts) + "\n"


def _head(job: JobScript) -> str:
    script = f"slurm/{file_name(job.kind)}"
    head = text.HEADS[job.kind].replace("{script}", script)
    if job.command:
        what = head.splitlines()[0].rstrip(":").removesuffix(", with one agent on each")
        return f"{what}. Written by nano-hpo submit: sbatch THIS-FILE submits it again."
    return (
        f"{head}\n#\n"
        "# What stands after the script's name goes to `nano-hpo run`. Edit the lines marked EDIT;\n"
        f"# options given to sbatch itself win over the lines here (sbatch --time=08:00:00 {script} …)."
    )


def _directive_lines(job: JobScript) -> str:
    return "\n".join(_directive(option, comment) for option, comment in _directives(job))


def _directives(job: JobScript) -> Iterator[tuple[str, str]]:
    """Option and comment of each line; an option with a # before it is there to be edited."""
    yield f"--job-name={_quoted(job.job_name)}", ""
    several = job.launcher is not None
    alone = "one machine; its cores are divided among the trials"
    yield f"--nodes={job.n_nodes}", "EDIT: machines" if several else alone
    if job.ntasks_per_node > 1:
        yield f"--ntasks-per-node={job.ntasks_per_node}", "agents on a machine; each has its own share of it"
    elif several:
        yield "--ntasks-per-node=1", "one agent on each, which starts the trial processes there"
    else:
        yield "--ntasks=1", "one agent, which starts the trial processes by itself"
    yield from _sizes(job)
    if job.tasks is not None:
        yield f"--array={job.tasks}", "EDIT: as many jobs; %N behind it: N at a time"
    name = "%A_%a" if job.tasks is not None else "%j"
    meaning = "%A is the array's id, %a the task's number" if job.tasks is not None else "%j is the job id"
    yield f"--output=nano-hpo-{name}.out", meaning
    yield "--open-mode=append", "a job that is requeued goes on in its file"
    who = "" if job.launcher == "srun" else "B:"
    yield (
        f"--signal={who}USR1@{job.warning_s}",
        "seconds before the end when the search is told to stop in order",
    )
    yield "--requeue", "when a node is lost, or the job makes room for another"
    if job.launcher == "srun":
        yield "--no-kill", "a node that is lost does not end the job on the others"
    yield from _places(job)
    for directive in job.directives:
        yield directive.strip(), ""


def _sizes(job: JobScript) -> Iterator[tuple[str, str]]:
    if job.cpus_per_task is not None or not job.exclusive:
        of_whom = " of one agent" if job.launcher else ""
        cores = f"EDIT: all cores{of_whom} for all its trials together"
        yield f"--cpus-per-task={job.cpus_per_task or CPUS_PER_TASK}", cores
    if job.exclusive:
        yield "--exclusive", "whole machines"
    if job.hint is not None:
        yield f"--hint={_quoted(job.hint)}", ""
    yield f"--time={job.time}", "EDIT: hours:minutes:seconds; a search that is not done by then is requeued"


def _places(job: JobScript) -> Iterator[tuple[str, str]]:
    """Where and for whom: an option that nobody asked for waits to be used, if most sites want it."""
    yield from _asked("mem", job.mem, "32G", "EDIT: remove one # to ask for memory, where your site wants it")
    yield from _asked("partition", job.partition, "batch", "EDIT: the same for a partition")
    yield from _asked("account", job.account, "project", "EDIT: the same for an account")
    for name in ("qos", "constraint", "dependency"):
        yield from _asked(name, getattr(job, name))


def _asked(name: str, value: str | None, example: str = "", comment: str = "") -> Iterator[tuple[str, str]]:
    if value is not None:
        yield f"--{name}={_quoted(value)}", ""
    elif example:
        yield f"#--{name}={example}", comment


def _directive(option: str, comment: str) -> str:
    line = f"##SBATCH {option[1:]}" if option.startswith("#") else f"#SBATCH {option}"
    return f"{line:<{COMMENT_COLUMN}} # {comment}" if comment else line


def _quoted(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else shlex.quote(value)


def _setup(job: JobScript) -> str:
    return "\n".join(job.setup) if job.setup else text.SETUP


def _variables(job: JobScript) -> str:
    example = f"CORES_PER_TRIAL=8 sbatch slurm/{file_name(job.kind)} …"
    return (
        f"cores_per_trial=${{CORES_PER_TRIAL:-{job.cores_per_trial}}} # EDIT, or: {example}\n"
        f"max_requeues=${{MAX_REQUEUES:-{job.max_requeues}}} # EDIT: how often to go on when time is up"
    )


def _body(job: JobScript) -> Iterator[str]:
    yield _arguments(job)
    yield text.FOUND
    if job.launcher is not None:
        yield text.NOT_A_JOB
    yield text.COUNT
    if job.launcher is None:
        yield text.HERE
        yield text.ONE_AGENT
        yield text.HANDED_ON.replace("{code}", "code")
    else:
        yield from _with_launcher(job)
    yield text.REQUEUE


def _arguments(job: JobScript) -> str:
    if job.command:
        return f"set -- {shlex.join(job.command)}"
    return text.ARGUMENTS.replace("{script}", f"slurm/{file_name(job.kind)}")


def _with_launcher(job: JobScript) -> Iterator[str]:
    leaving = ['rm -rf "${notes:-}"']
    if job.kind == "database":
        leaving.append('nano-hpo db stop "$database" || true')
        folder = DATABASE_FOLDER if job.database is None else shlex.quote(job.database)
        start, hands_out = text.DATABASE.split("\n# The URL", 1)
        server = "" if job.server is None else f" --server {shlex.quote(job.server)}"
        start = start.replace("{folder}", folder).replace("{server}", server)
        yield "\n".join((start, _on_exit(leaving), f"# The URL{hands_out}"))
        yield text.AGENTS
    else:
        yield "\n".join((text.AGENTS, _on_exit(leaving)))
    if job.launcher == "srun":
        yield text.SRUN
    else:
        yield text.MPIRUN
        yield text.HANDED_ON.replace("{code}", "launched")
    yield "\n".join((text.NOTED, "leave", "trap - EXIT # scontrol requeue ends this script where it stands"))


def _on_exit(lines: list[str]) -> str:
    return "\n".join(("leave() {", *(f"    {line}" for line in lines), "}", "trap leave EXIT"))
