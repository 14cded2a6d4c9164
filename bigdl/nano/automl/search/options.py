"""The arguments of ``search`` beside those of ``fit``: words of the old system in, the orchestrator's out."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any, Literal

from orchestrator.names import shown_name
from orchestrator.nearest import nearest

_RENAMED = {"n_jobs": "n_parallels", "load_if_exists": "resume", "dataloaders": "train_dataloaders"}
_CHOICES = (
    *("policy", "cores_per_slot", "smt", "reserve", "exclude"),
    *("core_kind", "mem_policy", "omp_bind", "dataloader_workers", "threads_per"),
)
_BY_NAME = ("search_space", "fixed_params")  # arguments of samplers that name parameters


@dataclass(frozen=True)
class SearchOptions:
    """How a search runs; the defaults are those of ``orchestrator.search``, but nothing is pruned unasked."""

    n_trials: int | None = None
    timeout: float | None = None  # seconds
    walltime: float | Literal["auto", "none"] = "auto"  # seconds until this process is ended from outside
    direction: str | None = None
    directions: Sequence[str] | None = None
    sampler: Any = None
    sampler_kwargs: Mapping[str, Any] = field(default_factory=dict)
    pruner: Any = None
    pruner_kwargs: Mapping[str, Any] = field(default_factory=dict)
    storage: str | None = None
    server: str | Path | None = None
    study_name: str | None = None
    catch: type[BaseException] | tuple[type[BaseException], ...] = ()
    tune_callbacks: Sequence[Callable[..., None]] = ()
    show_progress_bar: bool = True
    gc_after_trial: bool = False
    seed: int | None = None
    keep_best: bool = False
    run_dir: str | Path | None = None
    draw: Literal["all", "html", "none"] = "all"
    max_retries: int = 3
    trial_timeout: float | None = None  # seconds
    trial_memory: float | None = None  # MiB
    isolate: bool = False
    trials_per_worker: int | None = None
    keep_top: int | None = None  # of the trials' folders, those of so many best ones
    checkpoint: bool = False
    policy: Literal["auto", "balanced", "local"] = "auto"  # from here on as in ``orchestrator.search``
    cores_per_slot: int | None = None
    smt: bool = True
    reserve: int = 0
    exclude: str | Iterable[int] = ()
    core_kind: Literal["performance", "efficient", "any"] = "any"
    mem_policy: Literal["preferred", "bind", "interleave", "none"] = "preferred"
    omp_bind: Literal["close", "spread"] | None = None
    dataloader_workers: int | None = None
    threads_per: Literal["core", "pu"] = "core"
    explain: bool = False
    keep_binding: bool = False
    scratch: str | Path | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.checkpoint, bool):
            raise TypeError(f"checkpoint is {self.checkpoint!r}; it must be True or False.")
        if self.n_trials is None and self.timeout is None:
            raise ValueError("A search needs an end: give n_trials, timeout (seconds), or both.")

    @property
    def needs_processes(self) -> bool:
        """Whether the trials cannot run in the caller's own process, whatever ``n_parallels`` is."""
        from orchestrator.machine import checked_choices

        limits = (self.trial_timeout, self.trial_memory, self.trials_per_worker)
        is_limited = self.isolate or any(limit is not None for limit in limits)
        return self.run_dir is not None or is_limited or checked_choices(**self._choices()).need_a_process

    def _choices(self) -> dict[str, Any]:
        """How the machine is to be divided, as ``affinity.Choices`` takes it."""
        return {name: getattr(self, name) for name in _CHOICES}

    @property
    def prunes(self) -> bool:
        """Whether hopeless trials are ended early."""
        from orchestrator.sampling.named import plain_name

        given = _plain(self.pruner)
        name = given if isinstance(given, str) else getattr(given, "__name__", type(given).__name__)
        return given is not None and plain_name(name) != "none"

    def for_orchestrator(self, n_parallels: Any, parameters: Iterable[str]) -> dict[str, Any]:
        """The keywords of ``orchestrator.search``; ``parameters`` are the names as they are stored."""
        sampler, sampler_args = _tool(self.sampler, self.sampler_kwargs, "sampler", "tpe")
        seed = self.seed
        if "seed" in sampler_args:  # a named sampler has a stream for each trial, from the study's seed
            sampler_args = dict(sampler_args)
            seed = _one_seed(seed, sampler_args.pop("seed"))
        pruner, pruner_args = _tool(self.pruner, self.pruner_kwargs, "pruner", "none")
        return {
            "n_trials": self.n_trials,
            "timeout_s": self.timeout,
            "walltime_s": self.walltime,
            "n_parallels": n_parallels,
            "oversubscribe": _is_more_than_cores(n_parallels),
            "sampler": sampler,
            "sampler_args": _with_stored_names(sampler_args, parameters),
            "pruner": pruner,
            "pruner_args": pruner_args,
            "seed": seed,
            "callbacks": list(self.tune_callbacks or ()),
            "progress": self.show_progress_bar,
            "run_dir": self.run_dir,
            "draw": self.draw,
            "max_retries": self.max_retries,
            "trial_timeout_s": self.trial_timeout,
            "trial_memory_mib": self.trial_memory,
            "isolate": self.isolate,
            "trials_per_worker": self.trials_per_worker,
            "explain": self.explain,
            "keep_binding": self.keep_binding,
            "scratch": self.scratch,
            **self._choices(),
            "keep_top": self.keep_top,
        }


def split_arguments(
    given: Mapping[str, Any], fit: Callable[..., Any], own: Sequence[str], see: str
) -> tuple[SearchOptions, dict[str, Any]]:
    """Options of the search and arguments of ``fit``; ``TypeError`` names what is neither.

    ``own`` are the further arguments of ``search``, ``see`` is where to read of all.
    """
    options = {one.name for one in fields(SearchOptions)}
    parameters = inspect.signature(fit).parameters
    fits = {name for name in parameters if name != "self"}
    takes_all = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    for name in given:
        if name not in options and name not in fits and not takes_all:
            raise TypeError(_unknown(name, {*options, *fits, *own}, see))
    chosen = {name: value for name, value in given.items() if name in options and value is not None}
    return SearchOptions(**chosen), {name: value for name, value in given.items() if name not in options}


def _unknown(name: str, known: set[str], see: str) -> str:
    near = _RENAMED.get(name, "")
    if near not in known:
        near = nearest(name, sorted(known)) or ""
    return f"search takes no argument '{name}'. {f'Did you mean {near}?' if near else see}"


def _tool(given: Any, kwargs: Mapping[str, Any], what: str, default: str) -> tuple[Any, Mapping[str, Any]]:
    """A sampler or pruner by name with its arguments, or as an object of Optuna."""
    if given is None:
        given = default
    if inspect.isclass(given) and not issubclass(given, Enum):
        return given(**kwargs), {}
    if isinstance(given, Enum | str):
        return _plain(given), kwargs
    if kwargs:
        raise ValueError(f"{what} is an object already; {what}_kwargs go with a name.")
    return given, {}


def _one_seed(seed: int | None, of_sampler: int | None) -> int | None:
    if seed is not None and of_sampler is not None and seed != of_sampler:
        raise ValueError(f"seed is {seed} and that of sampler_kwargs {of_sampler}; give one of them.")
    return of_sampler if seed is None else seed


def _plain(given: Any) -> Any:
    return given.value if isinstance(given, Enum) else given


def _with_stored_names(arguments: Mapping[str, Any], parameters: Iterable[str]) -> dict[str, Any]:
    """``{"search_space": {"units": …}}`` with the names that are stored: a choice has a suffix."""
    stored = {shown_name(name): name for name in parameters}
    return {
        key: {stored.get(name, name): item for name, item in value.items()} if key in _BY_NAME else value
        for key, value in arguments.items()
    }


def _is_more_than_cores(n_parallels: Any) -> bool:
    """The number of processes is a request here: more than cores is possible, and said.

    So is the number of ranks on this node, which have a process each at least.
    """
    from orchestrator.machine import is_too_wide

    return is_too_wide(n_parallels if isinstance(n_parallels, int) else 1, os.environ)
