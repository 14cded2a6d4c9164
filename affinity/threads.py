"""Thread-pool variables: a slot's threads and an environment come in, what to set and keep goes out.

They must be in the environment before the program starts: OpenBLAS and libgomp read them once, at load.

OMP_PROC_BIND, OMP_PLACES, GOMP_CPU_AFFINITY and KMP_AFFINITY are not set. They narrow the main thread to
one core as soon as the OpenMP runtime loads, and every child made later (DataLoader workers, subprocesses,
the next launcher) inherits that one core (pytorch/pytorch#49971, #91989, #101850; intel/ipex-llm#7130).
The slot's mask already keeps all threads inside. Where the user set them, they are kept and checked.

torch has no variable for its inter-op pool: who imports torch calls ``torch.set_num_interop_threads(1)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from affinity.cpuset import format_list

POOLS = (
    "OMP_NUM_THREADS",  # every OpenMP runtime: torch, scikit-learn, MKL, OpenBLAS built with it
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "NUMBA_NUM_THREADS",
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

BINDERS = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")


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
    pus: Iterable[int] | None = None,
) -> ThreadSettings:
    """The variables for a slot of ``threads`` threads; a variable the user set (not empty) is never changed.

    Compute pools get max(1, threads - dataloader_workers), TF's inter-op pool 1. Warnings name each kept
    count that is bigger than the slot or no count, and each CPU list that leaves ``pus`` (unchecked if None).
    """
    wanted = dict.fromkeys(POOLS, str(max(1, threads - dataloader_workers)))
    wanted |= {_INTEROP: "1", _WORKER_LIMIT: str(max(1, threads))}
    users = {name for name in (*wanted, *BINDERS) if environ.get(name, "").strip()}
    ours = {name: value for name, value in wanted.items() if name not in users}
    if users & _PAIR:
        ours = {name: value for name, value in ours.items() if name not in _PAIR}
    kept = {name: environ[name] for name in (*wanted, *BINDERS) if name in users}
    warnings = [*_count_warnings(kept, threads), *_binder_warnings(kept, pus)]
    return ThreadSettings(ours, kept, tuple(warnings))


def _count_warnings(kept: Mapping[str, str], threads: int) -> Iterator[str]:
    for name, value in kept.items():
        if name in BINDERS:
            continue
        first = value.split(",")[0].strip()  # OMP_NUM_THREADS may list one count for each nesting level
        if not (first.isascii() and first.isdigit() and int(first) > 0):
            yield f"{name}={value} was kept, but it is no number of threads; unset it or give 1 or more."
        elif int(first) > threads:
            yield f"{name}={value} was kept, but the slot has {threads} threads; unset it to use these."


def _binder_warnings(kept: Mapping[str, str], pus: Iterable[int] | None) -> Iterator[str]:
    allowed = None if pus is None else set(pus)
    for name in BINDERS:
        if name not in kept:
            continue
        outside = set() if allowed is None else _named_pus(name, kept[name]) - allowed
        if outside:
            yield (
                f"{name}={kept[name]} was kept, but PUs {format_list(outside)} are not in the slot"
                f" ({format_list(allowed or ())}); unset it."
            )
        else:
            yield f"{name}={kept[name]} was kept; children started later may inherit a single core from it."


def _named_pus(name: str, value: str) -> set[int]:
    """The PUs of a GOMP_CPU_AFFINITY ("0 3 1-2 4-15:2") or of KMP_AFFINITY's proclist=[...]; else none."""
    if name == "KMP_AFFINITY":
        value = value.partition("proclist=[")[2].partition("]")[0]
    elif name != "GOMP_CPU_AFFINITY":
        return set()
    for bracket in "{}":
        value = value.replace(bracket, " ")
    return {pu for token in value.replace(",", " ").split() for pu in _strided(token)}


def _strided(token: str) -> range:
    bounds, _, stride = token.partition(":")
    first, _, last = bounds.partition("-")
    parts = (first, last or first, stride or "1")
    if not all(part.isascii() and part.isdigit() and len(part) < 7 for part in parts) or int(parts[2]) == 0:
        return range(0)
    return range(int(parts[0]), int(parts[1]) + 1, int(parts[2]))
