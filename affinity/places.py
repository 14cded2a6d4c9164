"""CPU lists that bind OpenMP's threads: the value of a variable comes in, the PUs that it names go out.

Sources: OpenMP 5.2, section 21.1.6 (OMP_PLACES); libgomp's manual (GOMP_CPU_AFFINITY); the Intel compiler's
guide on thread affinity (KMP_AFFINITY's proclist).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

BINDERS = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")
_MOST = 1 << 16
"""PUs of one interval: more is garbage."""

_PLACE = re.compile(r"(!?)\{([^{}]*)\}(?::(\d{1,6})(?::(-?\d{1,6}))?)?")


def named_pus(name: str, value: str) -> set[int]:
    """The PUs that a variable lists; none where it has a word (``close``, ``cores``) or cannot be read."""
    if name == "OMP_PLACES":
        return set(_of_places(value))
    if name == "KMP_AFFINITY":
        value = value.partition("proclist=[")[2].partition("]")[0]
    elif name != "GOMP_CPU_AFFINITY":
        return set()
    for bracket in "{}":
        value = value.replace(bracket, " ")
    return {pu for token in value.replace(",", " ").split() for pu in _strided(token)}


def _strided(token: str) -> range:
    """``3``, ``4-7`` or ``4-15:2``."""
    bounds, _, stride = token.partition(":")
    first, _, last = bounds.partition("-")
    parts = (first, last or first, stride or "1")
    if not all(part.isascii() and part.isdigit() and len(part) < 7 for part in parts) or int(parts[2]) == 0:
        return range(0)
    return range(int(parts[0]), int(parts[1]) + 1, int(parts[2]))


def _of_places(value: str) -> Iterator[int]:
    """``{0,1},{4:2}:3:8``: places of single numbers or FIRST:LENGTH:STRIDE, repeated COUNT:STRIDE times."""
    for without, inside, count, stride in _PLACE.findall(value.replace(" ", "")):
        if without:
            continue
        members = {pu for token in inside.split(",") for pu in _resources(token)}
        left_out = {pu for token in inside.split(",") if token[:1] == "!" for pu in _resources(token[1:])}
        step = int(stride) if stride else max(1, len(members))
        for turn in range(min(int(count or 1), _MOST)):
            yield from (pu + turn * step for pu in members - left_out)


def _resources(token: str) -> range:
    """FIRST:LENGTH:STRIDE; empty for anything else."""
    first, *rest = token.split(":")
    if not (first.isdigit() and len(rest) < 3 and all(re.fullmatch(r"-?\d{1,6}", word) for word in rest)):
        return range(0)
    length, stride = (int(word) for word in (*rest, *("1", "1")[len(rest) :]))
    if len(first) > 6 or not 0 < length <= _MOST or stride == 0:
        return range(0)
    start = int(first)
    return range(start, start + length * stride, stride)
