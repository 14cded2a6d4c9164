"""The settings of a run: words from the command line or Python in, one frozen ``RunSpec`` out."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from affinity import Choices
from orchestrator.errors import SpecError
from orchestrator.storage_url import masked

Walltime = float | Literal["auto", "none"]  # "auto": that of the allocation
DIRECTIONS = ("minimize", "maximize")
_MAX_STUDY_NAME = 512  # Optuna's column
MAX_RUN_ID = 191  # the column's width
STORAGE_PATIENCE_S = 300.0  # how long a database may be away before a run gives up
MAX_TRIALS = 2**31 - 1  # Optuna's columns are integers of 32 bits
_NOTHING = type(None)
_TYPES: Mapping[str, tuple[type, ...]] = {
    "study_name": (str,),
    "n_trials": (int, _NOTHING),
    "timeout_s": (float, int, _NOTHING),
    "walltime_s": (float, int, str),
    "n_parallels": (int,),
    "sampler": (str,),
    "pruner": (str,),
    "seed": (int, _NOTHING),
    "max_retries": (int,),
    "grace_s": (float, int),
    "storage_patience_s": (float, int),
    "server": (str, _NOTHING),
    "trial_timeout_s": (float, int, _NOTHING),
    "trial_memory_mib": (float, int, _NOTHING),
    "trials_per_worker": (int, _NOTHING),
    "keep_top": (int, _NOTHING),
    "scratch": (str, _NOTHING),
}
_IDENTITY = (
    "objective",
    "study_name",
    "storage_url",
    "n_trials",
    "directions",
    "sampler",
    "sampler_args",
    "pruner",
    "pruner_args",
    "seed",
)


@dataclass(frozen=True, slots=True)
class RunSpec:
    """Everything that defines a run. Checked when made; units in the names.

    ``n_trials`` finished trials is the budget (None: ``timeout_s`` alone ends the run). ``n_parallels`` is
    per rank. ``storage_url`` None means the embedded SQLite file of the run; ``server`` is the program of a
    private server (``auto:mysql``), None: the first that is found. ``choices``: how machines are divided,
    ``explain``: say why so. ``keep_binding`` takes the mask
    that a launcher gave this rank for its own share (``launchers.read_confinement``). ``storage_proxy``:
    ranks other than 0 reach the database through rank 0. ``scratch``: a folder of each node for what is
    written often (``orchestrator.scratch``). ``trial_memory_mib`` is for a worker with all that
    it starts; ``trials_per_worker`` 1 gives every trial a process of its own. ``keep_top``: of the folders of
    finished trials those of so many best ones stay (``orchestrator.kept_folders``); None: all do.
    ``walltime_s`` counts from ``asked_s``, when somebody asked for the run (``time.monotonic()``).
    """

    objective: str
    study_name: str
    n_trials: int | None = None
    timeout_s: float | None = None
    n_parallels: int = 1
    storage_url: str | None = None
    server: str | None = None
    directions: tuple[str, ...] = ("minimize",)
    metric_names: tuple[str, ...] = ()  # of the objectives, for people; none: they have no names
    sampler: str = "tpe"
    sampler_args: Mapping[str, Any] = field(default_factory=dict)
    pruner: str = "median"
    pruner_args: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    resume: bool = False
    choices: Choices = field(default_factory=Choices)
    explain: bool = False
    keep_binding: bool = False
    storage_proxy: bool = False
    scratch: str | None = None
    max_retries: int = 3
    grace_s: float = 30.0
    storage_patience_s: float = STORAGE_PATIENCE_S
    trial_timeout_s: float | None = None
    trial_memory_mib: float | None = None
    trials_per_worker: int | None = None
    keep_top: int | None = None
    walltime_s: Walltime = "auto"
    asked_s: float = field(default_factory=time.monotonic, compare=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be run, one line each."""
        self._check_types()
        self._check_budget()
        self._check_study()
        self._check_limits()

    def _check_types(self) -> None:
        for name, kinds in _TYPES.items():
            value = getattr(self, name)
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                wanted = " or ".join("nothing" if kind is _NOTHING else kind.__name__ for kind in kinds)
                raise SpecError(f"{name} is {value!r}; it must be {wanted}.")

    def _check_budget(self) -> None:
        if self.n_trials is None and self.timeout_s is None:
            raise SpecError(
                "A run needs an end: give --n-trials N (n_trials=N), --timeout SECONDS (timeout_s=SECONDS), "
                "or both."
            )
        if self.n_trials is not None and not 1 <= self.n_trials <= MAX_TRIALS:
            raise SpecError(f"n_trials is {self.n_trials}; it must be from 1 to {MAX_TRIALS}.")
        if self.timeout_s is not None and not 0 < self.timeout_s < math.inf:
            raise SpecError(f"timeout is {self.timeout_s} s; it must be more than 0.")
        if isinstance(self.walltime_s, str):
            if self.walltime_s not in ("auto", "none"):
                raise SpecError(f"walltime is {self.walltime_s!r}; it must be a time, auto or none.")
        elif not 0 < self.walltime_s < math.inf:
            raise SpecError(f"walltime is {self.walltime_s} s; it must be more than 0, auto or none.")

    def _check_study(self) -> None:
        if not 0 < len(self.study_name) <= _MAX_STUDY_NAME:
            raise SpecError(
                f"A study name has 1 to {_MAX_STUDY_NAME} characters, this one {len(self.study_name)}."
            )
        if not is_text(self.study_name):
            raise SpecError(f"Study name {self.study_name!r} is not text: it has bytes that are not UTF-8.")
        unknown = [direction for direction in self.directions if direction not in DIRECTIONS]
        if unknown or not self.directions:
            raise SpecError(f"Direction {unknown or 'missing'}; choose from {', '.join(DIRECTIONS)}.")
        if self.metric_names and len(self.metric_names) != len(self.directions):
            raise SpecError(
                f"{len(self.metric_names)} metric names for {len(self.directions)} directions; give one each."
            )

    def _check_limits(self) -> None:
        if self.n_parallels < 1:
            raise SpecError(
                f"n_parallels is {self.n_parallels}; it must be 1 or more (one process per slot)."
            )
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise SpecError(f"seed is {self.seed}; it must be from 0 to 2**63 - 1.")
        if self.max_retries < 0:
            raise SpecError(f"max_retries is {self.max_retries}; it must be 0 or more.")
        if not 0 <= self.grace_s < math.inf:
            raise SpecError(f"grace is {self.grace_s} s; it must be a number of seconds, 0 or more.")
        if not 0 <= self.storage_patience_s < math.inf:
            raise SpecError(f"storage patience is {self.storage_patience_s} s; it must be 0 or more.")
        if self.trial_timeout_s is not None and not 0 < self.trial_timeout_s < math.inf:
            raise SpecError(f"trial timeout is {self.trial_timeout_s} s; it must be more than 0.")
        if self.trial_memory_mib is not None and not 0 < self.trial_memory_mib < math.inf:
            raise SpecError(f"trial memory is {self.trial_memory_mib} MiB; it must be more than 0.")
        if self.trials_per_worker is not None and self.trials_per_worker < 1:
            raise SpecError(f"trials per worker is {self.trials_per_worker}; it must be 1 or more.")
        if self.keep_top is not None and self.keep_top < 0:
            raise SpecError(f"keep top is {self.keep_top}; it must be 0 or more.")

    @property
    def has_limits(self) -> bool:
        """Whether somebody must watch over the trials: that takes processes."""
        limits = (self.trial_timeout_s, self.trial_memory_mib, self.trials_per_worker)
        return any(limit is not None for limit in limits)

    def as_json(self) -> dict[str, Any]:
        """The settings for ``run.json`` and the database: the storage URL is masked."""
        data = asdict(self)
        del data["asked_s"]  # it means something on this machine only
        data["directions"], data["metric_names"] = list(self.directions), list(self.metric_names)
        data["storage_url"] = masked(self.storage_url) if self.storage_url else None
        return data

    def identity_hash(self) -> str:
        """A digest of what makes a run this run: the same command gives the same digest.

        How wide the run is and how long a launch may take (``n_parallels``, ``timeout_s``,
        ``walltime_s``, binding, ``resume``) may change between launches that finish one run.
        """
        data = self.as_json()
        chosen = {key: data[key] for key in _IDENTITY}
        return hashlib.sha256(json.dumps(chosen, sort_keys=True, default=repr).encode()).hexdigest()

    def differences(self, stored: Mapping[str, Any]) -> list[str]:
        """What makes this another run than the one of stored settings: «n_trials 40 there, 50 here»."""
        mine = json.loads(json.dumps(self.as_json(), default=repr))
        chosen = [name for name in _IDENTITY if name != "seed" or self.seed is not None]  # it was drawn then
        return [
            f"{name} {stored.get(name)} there, {mine[name]} here"
            for name in chosen
            if stored.get(name) != mine[name]
        ]


def is_text(text: str) -> bool:
    """Whether a string can be stored: the command line may hand over bytes that are no characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def default_study_name(objective: str) -> str:
    """``digits`` for ``examples/digits.py:objective``; ``digits-other`` for another function of the file."""
    file, _, function = objective.rpartition(":")
    stem = Path(file or objective).stem
    return stem if function in ("", "objective") else f"{stem}-{function}"
