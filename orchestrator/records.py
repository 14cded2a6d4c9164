"""What the storage and the agents say about a run, as plain data: rows in, frozen records out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from orchestrator.causes import described
from orchestrator.paths import log_name

if TYPE_CHECKING:
    from affinity import Topology


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One launch on a study. Times are naive UTC, as in Optuna's tables."""

    run_id: str
    owner: str
    spec: dict[str, Any]  # the run's settings as JSON, never with a password in it
    n_trials: int | None  # the budget; None: limited by time alone
    claimed: int  # tickets handed out so far
    state: str  # "running", "stopping" (somebody has asked for it), "finished", "stopped" or "failed"
    reason: str | None  # why it stopped or failed, for people
    start: datetime
    end: datetime | None


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One try of one worker at one trial. Times are naive UTC; ``end`` is None while it runs."""

    token: str
    trial_number: int
    run_id: str
    rank: int
    host: str
    slot: int
    cpus: str  # the slot's PUs as a kernel list, "0-3,8"
    cpu_model: str
    slot_width: int  # number of PUs of the slot
    pid: int
    start: datetime
    end: datetime | None
    objective_s: float | None  # seconds inside the objective; None when the worker was lost
    cause: str | None  # one of ``orchestrator.causes``; None while it runs
    exit_status: int | None  # of the worker, when it died; -9 is SIGKILL
    peak_rss_mib: float | None
    attempt: int = 1  # at its trial, from 1
    detail: str = ""  # what is known of the cause besides
    cpu_s: float | None = None  # CPU time of worker and children, user and system
    job: str | None = None  # of Slurm, in which it was made: 1234, or 1200_3 for a task of an array
    heard: datetime | None = None  # when its agent was last heard of; None: not known

    @property
    def known_until(self) -> datetime | None:
        """Its end; while it has none the last sign of its agent, which may have died since."""
        if self.end is not None or self.heard is None:
            return self.end
        return max(self.start, self.heard)

    @property
    def log(self) -> str:
        """Where the worker's output is, in the run directory."""
        return f"logs/{log_name(self.rank, self.slot, self.job)}"

    @property
    def why(self) -> str:
        """Cause and detail: «killed by a signal: SIGSEGV (segmentation fault)»."""
        return described(self.cause or "running", self.detail)


@dataclass(frozen=True, slots=True)
class HostRecord:
    """A machine that a run was on, as its agents there have told."""

    host: str
    topology: Topology
    allowed: tuple[int, ...]  # the PUs that were divided into slots
    memory_mib: int | None  # of which each slot had its part; None: unknown
    versions: Mapping[str, str]  # of the system, Python and packages
    kept: Mapping[str, str]  # thread variables that the user had set


@dataclass(frozen=True, slots=True)
class PoolRecord:
    """A native thread pool as threadpoolctl saw it inside a worker."""

    library: str  # "openblas", "openmp", "mkl", …
    threads: int


@dataclass(frozen=True, slots=True)
class SlotRecord:
    """What one slot was promised, what its worker really got, and how busy it was: at first nothing."""

    rank: int
    host: str
    slot: int
    cpus: str  # planned PUs, "0-3"
    numa_nodes: tuple[int, ...]
    threads: int  # planned threads of each pool
    got_cpus: str | None = None  # mask read back from all threads of the worker; None: the worker never said
    got_pools: tuple[PoolRecord, ...] = ()
    problems: tuple[str, ...] = ()  # plan and reality differ: one line each
    n_trials: int = 0  # finished attempts
    n_lost: int = 0  # attempts that died with their worker or were released
    busy_s: float = 0.0  # inside objectives of finished attempts, less what they waited for the database;
    # while its agent is at work, of running ones as well
    alive_s: float = 0.0  # from the start of the slot's first worker to the end of its last
    job: str | None = None  # of Slurm, in which it was
    got_memory_mib: Mapping[str, float] = field(default_factory=dict)  # private memory by NUMA node, a part
    starting_s: float | None = None  # of workers until their first trial; None: nobody has measured
    waited_s: float | None = None  # for a database out of reach
    lost_s: float | None = None  # at attempts that were lost

    @property
    def is_seen(self) -> bool:
        """Whether its worker has said what it got."""
        return self.got_cpus is not None or bool(self.got_pools)

    @property
    def pools(self) -> str:
        """The thread pools in few words, always in the same order: ``openblas ×2: 1, openmp: 1``."""
        counted = Counter((pool.library, pool.threads) for pool in self.got_pools)
        words = (
            f"{library} ×{n}: {threads}" if n > 1 else f"{library}: {threads}"
            for (library, threads), n in sorted(counted.items())
        )
        return ", ".join(words) or "no pools seen"
