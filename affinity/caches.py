"""Last-level caches: the CPU folder of a sysfs comes in, for each PU the LLC it belongs to goes out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from affinity.files import numbered, read_cpus, read_int, read_text


@dataclass(frozen=True, slots=True)
class Cache:
    """A cache as one PU sees it: the PUs that share it, and its size where told."""

    level: int
    pus: tuple[int, ...]
    size_kib: int | None


def read_llcs(cpu_folder: str, pus: Iterable[int]) -> dict[int, Cache]:
    """The last-level cache of each PU that has one: its highest-level Unified cache of level 2 or more.

    Level 1 is left out: it says nothing about neighbours. The first PU of a cache speaks for the others, so
    files that contradict each other cannot make overlapping caches.
    """
    found: dict[int, Cache] = {}
    online = tuple(pus)
    for pu in online:
        if pu in found:
            continue
        cache = _highest(f"{cpu_folder}/cpu{pu}/cache", pu)
        if cache is not None:
            members = [other for other in online if other in set(cache.pus) and other not in found]
            found.update(dict.fromkeys(members, cache))
    return found


def _highest(folder: str, pu: int) -> Cache | None:
    caches = [_read_cache(f"{folder}/index{number}", pu) for number in numbered(folder, "index")]
    return max((cache for cache in caches if cache is not None), key=lambda cache: cache.level, default=None)


def _read_cache(folder: str, pu: int) -> Cache | None:
    level = read_int(f"{folder}/level")
    if level is None or level < 2 or read_text(f"{folder}/type") not in ("Unified", "", None):
        return None
    # A cache whose map is empty (old ia64 kernels) is the PU's own, as hwloc reads it.
    pus = read_cpus(f"{folder}/shared_cpu_list", f"{folder}/shared_cpu_map") or (pu,)
    if pu not in pus:
        return None
    return Cache(level, pus, _size_kib(read_text(f"{folder}/size")))


def _size_kib(text: str | None) -> int | None:
    digits = (text or "").removesuffix("K")
    return int(digits) if digits.isdigit() and len(digits) < 18 and text != digits else None
