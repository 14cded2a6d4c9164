"""The picture of a machine: every PU is in it once, with its owner's letter, in as many columns as fit."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import termios
from contextlib import suppress

import pytest
from machines import MACHINES, machine_root

from affinity import (
    Choices,
    parse_list,
    partition,
    read_allowance,
    read_topology,
    synthetic_topology,
    unrestricted,
)
from affinity.assemble import CoreFacts, NodeFacts, assemble
from affinity.boxes import Segment, boxed, columns, flow, text, width_of
from affinity.cells import letters
from affinity.paint import Look, paint
from affinity.picture import draw

BIG = "pack:2 numa:4 l3:2 core:8 pu:2"  # 256 PUs


def drawn(machine, width=80, n_slots=None, **choices):
    """A machine that may be used whole, as lines of text."""
    allowance, chosen = unrestricted(machine), Choices(**choices)
    selected = chosen.select(machine, allowance)
    slots = chosen.divide(machine, selected, n_slots) if n_slots else None
    return [text(line) for line in draw(machine, allowance.pus, selected.pus, slots, width)]


def tokens(lines) -> list[str]:
    """What stands in the cells: sign and number of each PU."""
    cells = (cell for line in lines for cell in re.findall(r"[\[(]([^\])]+)[\])]", line))
    return [token for cell in cells for token in cell.split()]


def as_read(name, tmp_path):
    root = machine_root(name, tmp_path)
    machine = read_topology(root)
    return machine, read_allowance(machine, root)


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("name", MACHINES)
def test_every_machine_fits_the_width_and_shows_each_pu_once(name, width, tmp_path):
    machine, allowance = as_read(name, tmp_path)
    block = draw(machine, allowance.pus, allowance.pus, None, width)
    lines = [text(line) for line in block]
    assert max(map(len, lines)) <= width
    shown = [int(re.sub(r"\D", "", token)) for token in tokens(lines) if token not in ("efficient", "core")]
    assert sorted(shown) == list(machine.pus)
    assert len(lines) <= 3 * len(machine.cores) + 3 * len(machine.numa_nodes) + 8


@pytest.mark.parametrize("name", MACHINES)
def test_in_every_machine_the_letters_are_those_of_the_slots(name, tmp_path):
    machine, allowance = as_read(name, tmp_path)
    slots = partition(machine, allowance, min(3, len(machine.cores_within(allowance.pus))))
    lines = [text(line) for line in draw(machine, allowance.pus, allowance.pus, slots)]
    wanted = {f"{letters(slot.index)}{pu}" for slot in slots.slots for pu in slot.pus}
    marked = {token for token in tokens(lines) if re.fullmatch(r"[abc]\d+", token)}
    assert marked == wanted


def test_parts_stand_in_boxes_and_what_is_alone_shares_one():
    assert drawn(synthetic_topology("2 2 2"), n_slots=2) == [
        "┌ Package 0 · NUMA node 0 · 4 GiB ┐ ┌ Package 1 · NUMA node 1 · 4 GiB ┐",
        "│ [a0 a4] [a1 a5]                 │ │ [b2 b6] [b3 b7]                 │",
        "└─────────────────────────────────┘ └─────────────────────────────────┘",
        "a slot 0   b slot 1",
    ]


def test_a_wide_terminal_takes_fewer_lines():
    machine = synthetic_topology(BIG)
    narrow, wide = drawn(machine, 80, 16), drawn(machine, 200, 16)
    assert len(wide) < len(narrow) < 110
    assert "a slot 0 " in narrow[-3]
    assert wide[-1].endswith("p slot 15")


def test_a_machine_of_thousands_is_folded_to_runs_of_cores():
    lines = drawn(synthetic_topology("8 64 2"), n_slots=16)
    assert "[a 0-31,512-543]" in lines[1]
    assert len(lines) < 40
    alone = drawn(synthetic_topology("8 64 2"), n_slots=16, smt=False, reserve=1)
    assert "[-0 -512]" in alone[1]
    pus = [parse_list(word) for word in re.findall(r"[\[ ](\d[\d,-]*)\]", "\n".join(lines))]
    assert sorted(pu for some in pus for pu in some) == list(range(1024))


def test_what_no_slot_has_and_what_is_not_ours_is_marked_and_explained(tmp_path):
    machine, allowance = as_read("caged", tmp_path)
    slots = partition(machine, allowance, 1, cores_per_slot=1)
    lines = [text(line) for line in draw(machine, allowance.pus, allowance.pus, slots)]
    assert {"x1", "x3", "x4", "x5", "x7"} <= set(tokens(lines))
    assert sorted(token[0] for token in tokens(lines) if token[0] in "a-") == ["-", "a", "a"]
    assert lines[-1] == "a slot 0   - in no slot   x not for this process"
    chosen = [pu for pu in allowance.pus if pu != 0]
    assert text(draw(machine, allowance.pus, chosen, None)[-1]) == "- left out   x not for this process"


def test_slots_that_share_a_pu_are_shown_so():
    lines = drawn(synthetic_topology("1 1 1"), n_slots=3, oversubscribe=True)
    assert "[a+0]" in lines[1]
    assert "+ with further slots" in lines[-1]


def test_slow_cores_have_round_brackets(tmp_path):
    lines = [text(line) for line in draw(*hybrid(tmp_path))]
    assert "[0 1]" in lines[1]
    assert "(4)" in lines[1]
    assert lines[-1] == "( ) efficient core"


def hybrid(tmp_path):
    machine, allowance = as_read("hybrid", tmp_path)
    return machine, allowance.pus, allowance.pus, None


def test_memory_without_cores_has_a_box(tmp_path):
    machine, allowance = as_read("odd", tmp_path)
    lines = "\n".join(text(line) for line in draw(machine, allowance.pus, allowance.pus, None))
    assert "NUMA node 5 · 2 GiB" in lines
    assert "NUMA node 8 · 2 GiB" in lines


def test_where_a_node_has_several_packages_it_holds_them():
    cores = [CoreFacts((pu,), pu // 2, 0, pu // 2, 0) for pu in range(4)]
    machine = assemble(cores, [NodeFacts(0, 1024, ())], source="two packages, one node")
    assert drawn(machine) == [
        "┌ NUMA node 0 · 1 GiB ────────┐",
        "│ ┌ Package 0 ┐ ┌ Package 1 ┐ │",
        "│ │ [0] [1]   │ │ [2] [3]   │ │",
        "│ └───────────┘ └───────────┘ │",
        "└─────────────────────────────┘",
    ]


def test_slots_have_letters_beyond_z():
    assert [letters(n) for n in (0, 25, 26, 27, 701, 702)] == ["a", "z", "aa", "ab", "zz", "aaa"]


@pytest.mark.parametrize("width", [1, 9, 20])
def test_no_width_is_too_narrow(width):
    assert len(tokens(drawn(synthetic_topology(BIG), width))) == 256


def test_blocks_flow_and_rows_are_of_like_length():
    ten = [((Segment(f"{n}"),),) for n in range(10)]
    assert [text(line).split() for line in columns(ten, 17)] == [list("01234"), list("56789")]
    assert width_of(flow([((Segment("a" * 30),),), ((Segment("b"),),)], 8)) == 30
    assert text(boxed("a long title", ((Segment("x"),),), 10)[0]) == "┌ a lon… ┐"


def test_without_colours_no_escape_is_written_and_without_unicode_no_line():
    block = draw(machine := synthetic_topology("2 2 2"), machine.pus, machine.pus, None)
    assert "\x1b" not in paint(block, Look())
    assert paint(block, Look(has_unicode=False)).isascii()
    assert "\x1b[2m┌" in paint(block, Look(has_colour=True))
    assert re.sub(r"\x1b\[\d+m", "", paint(block, Look(has_colour=True))) == paint(block, Look())


def test_a_pipe_is_80_plain_columns(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert Look.of(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")) == Look(80, False, True)
    assert not Look.of(io.TextIOWrapper(io.BytesIO(), encoding="ascii")).has_unicode
    monkeypatch.setenv("COLUMNS", "132")
    assert Look.of(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")).width == 132


def in_a_terminal(n_columns: int, **environ: str) -> str:
    """What ``python -m affinity show`` says to a terminal that is so wide."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, n_columns))
    told = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    command = [sys.executable, "-m", "affinity", "show", "--synthetic", BIG, "--slots", "16"]
    process = subprocess.Popen(
        command, stdout=theirs, stderr=theirs, env={**told, "TERM": "xterm", "LC_ALL": "C.UTF-8", **environ}
    )
    os.close(theirs)
    said = b""
    with suppress(OSError):  # Linux: the terminal's end is an error
        while part := os.read(ours, 65536):
            said += part
    os.close(ours)
    assert process.wait() == 0
    return said.decode()


def test_a_terminal_gets_colours_and_its_width_unless_told_otherwise():
    said = in_a_terminal(100)
    assert "\x1b[32ma0" in said
    plain = re.sub(r"\x1b\[\d+m", "", said).partition("\r\n\r\n")[0].split("\r\n")
    assert 80 < max(map(len, plain)) <= 100
    assert "\x1b" not in in_a_terminal(100, NO_COLOR="1")
    assert "\x1b" not in in_a_terminal(100, TERM="dumb")
