"""Cores and slots as they are drawn: a machine and its division come in, signs, cells and a legend go out.

A core is ``[0 8]``, its PUs; before a PU stands the letter of its slot, or the sign that it has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from affinity.boxes import Block, Line, Segment, Tone, text
from affinity.cpuset import format_list
from affinity.slots import Partition
from affinity.topology import Core, Topology

BARRED, UNUSED, SHARED = "x", "-", "+"
_FOLDED_FROM = 257  # PUs: machines of more are drawn by runs of cores
_LONGEST_LIST = 30
_NAMED_SLOTS = 52


@dataclass(frozen=True, slots=True)
class Mark:
    """What stands before a PU's number, and in which style."""

    sign: str
    style: Tone | int


def letters(slot: int) -> str:
    """The slot as letters: a to z, then aa, ab, …"""
    name = ""
    slot += 1
    while slot:
        slot, digit = divmod(slot - 1, 26)
        name = chr(ord("a") + digit) + name
    return name


def marks_of(
    topology: Topology, allowed: frozenset[int], chosen: frozenset[int], divided: Partition | None
) -> dict[int, Mark]:
    """By PU: its slot, or without a division nothing; else that it was left out, or is not for us."""
    owners: dict[int, list[int]] = {}
    for slot in divided.slots if divided else ():
        for pu in slot.pus:
            owners.setdefault(pu, []).append(slot.index)
    whole = chosen if divided is None else frozenset()
    return {pu: _mark(pu, owners.get(pu, []), allowed, whole) for pu in topology.pus}


def _mark(pu: int, owners: list[int], allowed: frozenset[int], whole: frozenset[int]) -> Mark:
    if owners:
        return Mark(letters(owners[0]) + SHARED * (len(owners) > 1), owners[0])
    if pu not in allowed:
        return Mark(BARRED, "dim")
    return Mark("", "plain") if pu in whole else Mark(UNUSED, "dim")


class Cells:
    """How the cores of a machine are drawn: each alone, on a large one by runs of cores of one owner."""

    def __init__(self, topology: Topology, marks: dict[int, Mark]) -> None:
        self._topology = topology
        self._marks = marks
        self._is_folded = len(topology.pus) >= _FOLDED_FROM
        self.width = 0 if self._is_folded else max(len(text(self._cell(core))) for core in topology.cores)

    def of(self, cores: Iterable[Core]) -> Iterator[Line]:
        """The cells of some neighbours."""
        if not self._is_folded:
            yield from map(self._cell, cores)
            return
        for _, run in groupby(cores, key=self._owner):
            yield self._run(list(run))

    def _owner(self, core: Core) -> tuple[int, Mark | int]:
        """What a run has in common; a core of several owners is alone."""
        owners = {self._marks[pu] for pu in core.pus}
        return core.kind, next(iter(owners)) if len(owners) == 1 else core.index

    def _run(self, cores: list[Core]) -> Line:
        if len(cores) == 1:
            return self._cell(cores[0])
        mark = self._marks[cores[0].pus[0]]
        pus = format_list([pu for core in cores for pu in core.pus])
        what = pus if len(pus) <= _LONGEST_LIST else f"{len(cores)} cores from {cores[0].pus[0]}"
        return self._bracketed(cores[0], [Segment(f"{mark.sign} {what}".strip(), mark.style)])

    def _cell(self, core: Core) -> Line:
        marks = self._marks
        return self._bracketed(core, [Segment(f"{marks[pu].sign}{pu}", marks[pu].style) for pu in core.pus])

    def _bracketed(self, core: Core, segments: list[Segment]) -> Line:
        left, right = "()" if self._topology.kinds[core.kind].name == "efficient" else "[]"
        inside = [part for segment in segments for part in (Segment(" "), segment)][1:]
        return (Segment(left, "frame"), *inside, Segment(right, "frame"))


def legend(topology: Topology, marks: dict[int, Mark], divided: Partition | None) -> Iterator[Block]:
    """What the signs mean that occur."""
    signs = {mark.sign for mark in marks.values()}
    yield from _slot_names(len(divided.slots)) if divided else ()
    if any(sign.endswith(SHARED) for sign in signs):
        yield _note(f"{SHARED} with further slots")
    if UNUSED in signs:
        yield _note(f"{UNUSED} {'in no slot' if divided else 'left out'}")
    if BARRED in signs:
        yield _note(f"{BARRED} not for this process")
    if any(kind.name == "efficient" for kind in topology.kinds):
        yield _note("( ) efficient core")


def _slot_names(n_slots: int) -> Iterator[Block]:
    if n_slots > _NAMED_SLOTS:
        yield _note(f"{letters(0)} to {letters(n_slots - 1)}: slots 0 to {n_slots - 1}")
        return
    for slot in range(n_slots):
        yield ((Segment(letters(slot), slot), Segment(f" slot {slot}")),)


def _note(words: str) -> Block:
    return ((Segment(words, "dim"),),)
