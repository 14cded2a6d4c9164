"""What a Slurm job asks for: checked fields, of which `launchers.job_rendering` makes a script."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, get_args

from .errors import JobScriptError

__all__ = ["KINDS", "JobScript", "Kind", "file_name"]

Kind = Literal["search", "search_multinode", "search_mpirun", "search_array", "database"]
KINDS: tuple[Kind, ...] = get_args(Kind)
NODES: Mapping[Kind, int] = {"search_multinode": 2, "search_mpirun": 2, "database": 2}
TASKS = "0-3"  # of an array

_TIME = re.compile(
    r"\d+(:\d+){0,2}|\d+-\d+(:\d+){0,2}|UNLIMITED|INFINITE", re.IGNORECASE
)  # sbatch(1), --time
_MEMORY = re.compile(r"\d+[KMGT]?", re.IGNORECASE)
_ARRAY = re.compile(r"(\d+)(%[1-9]\d*)?")
_WARNING = re.compile(r"(?:B:)?(?:(?:SIG)?USR1@)?(\d+)", re.IGNORECASE)
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
    def warning_s(self) -> int:
        """How many seconds before its end Slurm warns."""
        found = _WARNING.fullmatch(self.signal)
        assert found is not None
        return int(found[1])

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
