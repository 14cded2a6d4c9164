"""What a Slurm job asks for, in; its script, ready for sbatch, out. Pure: nothing is read and nothing is run.

The files of `slurm/` are what `render` makes of the five kinds with all defaults; a script with a command in
it differs from them by its head, that command and what was asked for.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Literal, get_args

from . import job_text as text
from .errors import JobScriptError

__all__ = ["KINDS", "JobScript", "Kind", "file_name", "render"]

Kind = Literal["search", "search_multinode", "search_mpirun", "search_array", "database"]
KINDS: tuple[Kind, ...] = get_args(Kind)
NODES: Mapping[Kind, int] = {"search_multinode": 2, "search_mpirun": 2, "database": 2}
TASKS = "0-3"  # of an array
CPUS_PER_TASK = 16
DATABASE_FOLDER = '"$PWD/nano-hpo-runs/database"'
COMMENT_COLUMN = 35

_TIME = re.compile(
    r"\d+(:\d+){0,2}|\d+-\d+(:\d+){0,2}|UNLIMITED|INFINITE", re.IGNORECASE
)  # sbatch(1), --time
_MEMORY = re.compile(r"\d+[KMGT]?", re.IGNORECASE)
_ARRAY = re.compile(r"(\d+)(%[1-9]\d*)?")
_WARNING = re.compile(r"(?:B:)?(?:(?:SIG)?USR1@)?(\d+)", re.IGNORECASE)
_PLAIN = re.compile(r"[\w@%+=:,./\[\]&|*!-]+", re.ASCII)  # needs no quotes in a line of #SBATCH
_OWN_OPTIONS = {
    *("-N", "-t", "-a", "-c", "-J", "-A", "-p", "-q", "-C", "-d", "-o", "-n", "-k"),
    *("--nodes", "--time", "--array", "--cpus-per-task", "--ntasks", "--ntasks-per-node", "--mem"),
    *("--exclusive", "--hint", "--job-name", "--account", "--partition", "--qos", "--constraint"),
    *("--dependency", "--signal", "--output", "--open-mode", "--requeue", "--no-requeue", "--no-kill"),
}
_NO_FLAG = {"-o", "-n", "-k", "--ntasks", "--output", "--open-mode", "--requeue", "--no-requeue", "--no-kill"}


@dataclass(frozen=True, slots=True)
class JobScript:
    """A job script's content. Checked when made; ``JobScriptError`` names the flag of `nano-hpo submit`.

    kind: what the job does. command: what follows `nano-hpo run`; none: the words that follow the script's
    name on the line of sbatch. setup: lines of bash that make `nano-hpo` known. directives: further options
    of sbatch. array: how many jobs, as ``8`` or ``8%2`` (two at a time). signal: seconds before its end at
    which Slurm warns. cpus_per_task None: all of an exclusive node, else 16. database: the server's folder.
    server: its program.
    """

    kind: Kind = "search"
    command: tuple[str, ...] = ()
    nodes: int | None = None
    ntasks_per_node: int = 1
    cpus_per_task: int | None = None
    cores_per_trial: int = 4
    time: str = "04:00:00"
    mem: str | None = None
    exclusive: bool = False
    hint: str | None = None
    array: str | None = None
    job_name: str = "nano-hpo"
    account: str | None = None
    partition: str | None = None
    qos: str | None = None
    constraint: str | None = None
    dependency: str | None = None
    signal: str = "120"
    max_requeues: int = 10
    directives: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    database: str | None = None
    server: str | None = None

    def __post_init__(self) -> None:
        """Refuse what Slurm would, or what would end up as another line of the script."""
        self._check_texts()
        self._check_numbers()
        self._check_forms()
        self._check_together()

    def _check_texts(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, str):
                continue
            if not value.strip() or not value.isprintable():
                raise JobScriptError(f"{_flag(field.name)} is {value!r}; it must be one line of text.")
        for line in (*self.directives, *self.setup):
            if "\n" in line or "\0" in line or not line.strip():
                raise JobScriptError(f"{line!r} is not one line; give --setup or --directive once for each.")

    def _check_numbers(self) -> None:
        least = {
            "ntasks_per_node": 1,
            "cores_per_trial": 1,
            "max_requeues": 0,
            "nodes": 1,
            "cpus_per_task": 1,
        }
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise JobScriptError(f"{_flag(name)} is {value}; it must be {bound} or more.")

    def _check_forms(self) -> None:
        if not _TIME.fullmatch(self.time):
            raise JobScriptError(f"--time is '{self.time}'; write hours:minutes:seconds or days-hours.")
        if self.mem is not None and not _MEMORY.fullmatch(self.mem):
            raise JobScriptError(f"--mem is '{self.mem}'; write a size such as 32G (a number alone: MiB).")
        if self.array is not None and not (_ARRAY.fullmatch(self.array) and int(self.array.split("%")[0])):
            raise JobScriptError(
                f"--array is '{self.array}'; write a number of jobs, as 8 or 8%2 (two at a time)."
            )
        if not _WARNING.fullmatch(self.signal):
            raise JobScriptError(
                f"--signal is '{self.signal}'; write seconds before the end of the time, as 120 or USR1@120."
            )
        for directive in self.directives:
            _check_directive(directive)

    def _check_together(self) -> None:
        if self.kind in ("search", "search_array") and (self.n_nodes > 1 or self.ntasks_per_node > 1):
            raise JobScriptError("A job of several nodes or tasks starts its agents by srun or mpirun.")
        if self.ntasks_per_node > 1 and self.exclusive and self.cpus_per_task is None:
            raise JobScriptError("--exclusive with several tasks on a node needs --cpus-per-task as well.")
        if self.kind == "database" and self.array is not None:
            raise JobScriptError(
                "Each job of an array would start a database of its own: leave --array or --database out."
            )

    @property
    def n_nodes(self) -> int:
        """How many nodes it asks for."""
        return self.nodes if self.nodes is not None else NODES.get(self.kind, 1)

    @property
    def launcher(self) -> Literal["srun", "mpirun"] | None:
        """What starts the agents; None: the one agent is a child of the script."""
        if self.kind == "search_mpirun":
            return "mpirun"
        return "srun" if self.kind in ("search_multinode", "database") else None

    @property
    def tasks(self) -> str | None:
        """The numbers of the array's tasks, as sbatch wants them."""
        if self.array is None:
            return TASKS if self.kind == "search_array" else None
        count, percent, at_once = self.array.partition("%")
        return f"0-{int(count) - 1}{percent}{at_once}"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _check_directive(directive: str) -> None:
    option = re.split(r"[=\s]", directive.strip(), maxsplit=1)[0]
    if not option.startswith("-"):
        raise JobScriptError(f"--directive '{directive}' is no option of sbatch, such as '--gres=gpu:1'.")
    if option in _OWN_OPTIONS:
        instead = "is set by the script" if option in _NO_FLAG else "has a flag of its own here"
        raise JobScriptError(f"--directive '{directive}': {option} {instead}; leave the directive out.")


def file_name(kind: Kind) -> str:
    """What the script of a kind is called in a folder of scripts."""
    return f"{kind}.sbatch"


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
        f"--signal={who}USR1@{_warning_s(job)}",
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


def _warning_s(job: JobScript) -> int:
    found = _WARNING.fullmatch(job.signal)
    assert found is not None
    return int(found[1])


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
