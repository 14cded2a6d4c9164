"""Thread-pool variables: a slot's threads and an environment come in, what to set and keep goes out.

They must be in the environment before the program starts: OpenBLAS and libgomp read them once, at load.

OMP_PROC_BIND, OMP_PLACES, GOMP_CPU_AFFINITY and KMP_AFFINITY are not set unless asked for (``omp_bind``).
They narrow the main thread to one core as soon as the OpenMP runtime loads, and every child made later
(DataLoader workers, subprocesses, the next launcher) inherits that one core (pytorch/pytorch#49971, #91989,
#101850; intel/ipex-llm#7130). The slot's mask already keeps all threads inside. Where the user set them, they
are kept and checked.

Some pools have no variable. torch's inter-op pool: ``limit_loaded_pools`` is for who has imported torch.
oneDNN runs in the pools of its host (OpenMP, TensorFlow's intra-op threads). oneTBB counts the CPUs of the
mask when it is first used; a CPU quota below that reaches only those of its users that have a variable.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from affinity.cpuset import format_list
from affinity.places import BINDERS, named_pus

OmpBind = Literal["close", "spread"]

POOLS = (
    "OMP_NUM_THREADS",  # every OpenMP runtime: torch, scikit-learn, MKL, oneDNN, OpenBLAS built with it
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "NUMBA_NUM_THREADS",  # in each of its layers: OpenMP, TBB, its own
    "TF_NUM_INTRAOP_THREADS",
    "RAYON_NUM_THREADS",
    "POLARS_MAX_THREADS",
)
"""Compute pools: each gets the slot's threads less its DataLoader workers."""

_PAIR = {"NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS"}
"""numexpr refuses NUM above MAX: where the user set one of them, the other is left alone."""

_INTEROP = "TF_NUM_INTEROP_THREADS"
_WORKER_LIMIT = "LOKY_MAX_CPU_COUNT"
"""Joblib's count of processes for ``n_jobs=-1``: loky reads only the root group's quota, so we tell it."""

_BLOCKTIME = "KMP_BLOCKTIME"
"""Milliseconds that idle threads of Intel's and LLVM's OpenMP go on spinning, 200 by default. The pools of
several libraries (numpy's, torch's) share the slot's cores: what spins in one is taken from the others."""

THREADS, DATALOADER_WORKERS = "NANO_HPO_THREADS", "NANO_HPO_DATALOADER_WORKERS"
"""For the program: the slot's threads, and how many of them are left to processes that it starts."""


@dataclass(frozen=True, slots=True)
class ThreadSettings:
    """``set`` is to be added to the environment, ``kept`` is what the user had set; one warning a line."""

    set: dict[str, str]
    kept: dict[str, str]
    warnings: tuple[str, ...]


def thread_variables(
    threads: int,
    environ: Mapping[str, str],
    *,
    dataloader_workers: int = 0,
    omp_bind: OmpBind | None = None,
    pus: Iterable[int] | None = None,
) -> ThreadSettings:
    """The variables for a slot of ``threads`` threads; a variable the user set (not empty) is never changed.

    Compute pools get max(1, threads - dataloader_workers), TF's inter-op pool 1. ``omp_bind`` binds OpenMP's
    threads to the cores of the mask, near each other or far apart, unless the user has bound them. Warnings
    name each kept count that is bigger than the slot or no count, and each CPU list that leaves ``pus``
    (unchecked if None).
    """
    computing = max(1, threads - dataloader_workers)
    wanted = dict.fromkeys(POOLS, str(computing))
    wanted |= {_INTEROP: "1", _WORKER_LIMIT: str(max(1, threads))}
    counted = tuple(wanted)
    if computing > 1:
        wanted[_BLOCKTIME] = "1"
    users = {name for name in (*wanted, *BINDERS) if environ.get(name, "").strip()}
    if omp_bind is not None and not users & set(BINDERS):
        wanted |= {"OMP_PROC_BIND": omp_bind, "OMP_PLACES": "cores"}  # of the mask: both runtimes cut to it
    ours = {name: value for name, value in wanted.items() if name not in users}
    if users & _PAIR:
        ours = {name: value for name, value in ours.items() if name not in _PAIR}
    ours |= {THREADS: str(threads), DATALOADER_WORKERS: str(dataloader_workers)}
    kept = {name: environ[name] for name in (*counted, *BINDERS) if name in users}
    warnings = [
        *_count_warnings({name: value for name, value in kept.items() if name in counted}, threads),
        *_binder_warnings(kept, pus),
    ]
    return ThreadSettings(ours, kept, tuple(warnings))


def limit_loaded_pools() -> None:
    """One inter-op thread for torch, if it is imported: it has no variable and takes one for each core.

    A number that the program has set itself stays.
    """
    torch: Any = sys.modules.get("torch")
    if hasattr(torch, "set_num_interop_threads"):
        try:
            torch.set_num_interop_threads(1)
        except RuntimeError:  # it was set, or works with some already
            return


def _count_warnings(kept: Mapping[str, str], threads: int) -> Iterator[str]:
    for name, value in kept.items():
        first = value.split(",")[0].strip()  # OMP_NUM_THREADS may list one count for each nesting level
        if not (first.isascii() and first.isdigit() and int(first) > 0):
            yield f"{name}={value} was kept, but it is no number of threads; unset it or give 1 or more."
        elif int(first) > threads:
            has = (
                "1 thread; unset it to use that"
                if threads == 1
                else f"{threads} threads; unset it to use these"
            )
            yield f"{name}={value} was kept, but the slot has {has}."


def _binder_warnings(kept: Mapping[str, str], pus: Iterable[int] | None) -> Iterator[str]:
    allowed = None if pus is None else set(pus)
    for name in BINDERS:
        if name not in kept:
            continue
        outside = set() if allowed is None else named_pus(name, kept[name]) - allowed
        if outside:
            yield (
                f"{name}={kept[name]} was kept, but PUs {format_list(outside)} are not in the slot"
                f" ({format_list(allowed or ())}); unset it."
            )
        else:
            yield f"{name}={kept[name]} was kept; children started later may inherit a single core from it."
