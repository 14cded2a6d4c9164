"""Invented machines in QEMU: where the processes of a plan run and their memory lies, by the kernel there."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from affinity import parse_list

ROOT = Path(__file__).parents[2]
KERNEL = Path(sys.prefix) / "kernel"  # by .ci/setup-kernel
PROGRAMS = ("qemu-system-x86_64", "busybox", "cpio")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
MISSING += [] if (KERNEL / "vmlinuz").exists() else [str(KERNEL)]

pytestmark = [
    pytest.mark.skipif(platform.machine() != "x86_64", reason="QEMU: the machines are for x86-64"),
    pytest.mark.skipif(bool(MISSING), reason=f"QEMU: there is no {', '.join(MISSING)}"),
    pytest.mark.timeout(1500),
]

OBJECTIVE = """
import numpy as np
from affinity import memory_by_node, observe

def objective(trial):
    block = np.ones(24 * 2**17)  # 24 MiB
    seen = observe()
    trial.set_user_attr("pus", list(seen.pus))
    trial.set_user_attr("outside", seen.threads_outside)
    trial.set_user_attr("policy", [seen.memory_policy, list(seen.memory_nodes)])
    trial.set_user_attr("memory", {str(node): mib for node, mib in memory_by_node(longest_s=60).items()})
    trial.set_user_attr("pools", [pool.threads for pool in seen.pools])
    return trial.suggest_float("x", 0, 1) * block[0]
"""


@dataclass(frozen=True)
class Said:
    """What a command printed between two marks, and its exit status."""

    code: int
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def in_machine(machine: str, mib_per_node: int, command: str) -> Said:
    """Run a shell command in a machine; ``$BIN`` in it is this environment's folder of programs."""
    program = Path(__file__).parent / "vm/numa-vm"
    script = f"BIN='{Path(sys.executable).parent}'; echo @@BEGIN; {command}; code=$?; echo @@END; exit $code"
    words = [program, KERNEL, machine, mib_per_node, ROOT, 1200, "/bin/bash", "-c", script]
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
    assert "@@BEGIN" in done.stdout, done.stdout + done.stderr
    text = done.stdout.partition("@@BEGIN\n")[2].partition("@@END")[0]
    return Said(done.returncode, text)


def test_a_search_of_four_workers_on_two_packages_runs_and_computes_as_planned() -> None:
    search = '"$BIN/nano-hpo" run job.py:objective -n 8 -p 4 --draw none --json -q --run-dir run >out || exit'
    show = "echo '['; cat out; echo ,; cat run/trials.json; echo ']'"
    said = in_machine("2s4c2t", 1024, f"cat >job.py <<'X'\n{OBJECTIVE}X\n{search}; {show}")
    assert said.code == 0, said.text
    summary, trials = said.json
    assert summary["counts"] == {"COMPLETE": 8}
    planned = {slot["cpus"]: slot for slot in summary["slots"]}
    assert list(planned) == ["0-3", "4-7", "8-11", "12-15"]
    assert [slot["numa_nodes"] for slot in planned.values()] == [[0], [0], [1], [1]]
    assert [slot["problems"] for slot in planned.values()] == [[]] * 4
    assert all(slot["got_cpus"] == cpus for cpus, slot in planned.items() if slot["n_trials"])
    slot_of = {parse_list(cpus): slot for cpus, slot in planned.items()}
    for trial in trials:
        seen = trial["user_attrs"]
        slot = slot_of[tuple(seen["pus"])]
        assert seen["outside"] == 0
        assert seen["policy"] == ["preferred", slot["numa_nodes"]]
        assert set(seen["pools"]) == {slot["threads"]} == {2}
        (node,) = slot["numa_nodes"]
        assert seen["memory"][str(node)] > 0.9 * sum(seen["memory"].values())


def verified(machine: str, *words: object, mib_per_node: int = 512) -> list[dict[str, Any]]:
    """What a process in each slot of a machine got; none found that anything differs from the plan."""
    said = in_machine(
        machine, mib_per_node, f'"$BIN/nano-hpo" topology {" ".join(map(str, words))} --verify --json'
    )
    assert said.code == 0, said.text
    slots: list[dict[str, Any]] = said.json["slots"]
    return slots


def home_of(slot: dict[str, Any]) -> str:
    """The node of most of its memory, which is nearly all of it."""
    memory: dict[str, float] = slot["memory_mib"]
    node = max(memory, key=lambda name: memory[name])
    assert memory[node] > 0.9 * sum(memory.values())
    return node


@pytest.mark.parametrize(
    ("machine", "n", "pus", "nodes"),
    [
        ("4n", 4, ["0-3", "4-7", "8-11", "12-15"], "0123"),
        ("snc", 4, ["0-5", "6-11", "12-17", "18-23"], "0123"),
        ("odd", 3, ["0-5", "6-12", "13"], "012"),
        ("mem0", 2, ["0-3", "4-7"], "00"),  # the second node has no memory of its own
        ("hbm", 2, ["0-3", "4-7"], "00"),  # fast memory without cores is for those who ask for it
    ],
)
@pytest.mark.long
def test_each_slot_of_a_machine_has_its_cores_and_the_nearest_memory(
    machine: str, n: int, pus: list[str], nodes: str
) -> None:
    slots = verified(machine, "-p", n, "--policy", "local")
    assert [tuple(slot["pus"]) for slot in slots] == [parse_list(one) for one in pus]
    assert [slot["threads_outside"] for slot in slots] == [0] * n
    assert "".join(map(home_of, slots)) == nodes


@pytest.mark.long
def test_memory_is_interleaved_where_that_is_asked_for() -> None:
    (slot,) = verified("2s4c2t", "-p", 1, "--mem-policy", "interleave")
    assert slot["memory_policy"] == "interleave"
    assert min(slot["memory_mib"].values()) > 0.3 * sum(slot["memory_mib"].values())


@pytest.mark.long
def test_memory_is_bound_where_that_is_asked_for() -> None:
    slots = verified("2s4c2t", "-p", 2, "--mem-policy", "bind")
    assert [slot["memory_policy"] for slot in slots] == ["bind", "bind"]
    assert [home_of(slot) for slot in slots] == ["0", "1"]
