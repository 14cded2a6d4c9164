"""What processes really get: where their memory lies, what quotas cost them, how fast their slots are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from affinity import (
    BindError,
    Binding,
    Observation,
    Probes,
    Throttling,
    differences,
    memory_by_node,
    probing,
    read_throttled_s,
)

MINE = tuple(sorted(os.sched_getaffinity(0)))
NUMA_MAPS = """\
562097090000 default file=/usr/bin/cat mapped=2 N0=2 kernelpagesize_kB=4
56209709a000 prefer:1 heap anon=300 dirty=300 active=0 N0=44 N1=256 kernelpagesize_kB=4
7f0000000000 bind:2 anon=3 dirty=3 N2=3 kernelpagesize_kB=2048
7f0000001000 default anon=256 N11=256
7ffd00000000 default stack
a line that makes no sense N3
"""


def test_private_memory_is_counted_by_node_and_size_of_page(tmp_path: Path) -> None:
    (tmp_path / "numa_maps").write_text(NUMA_MAPS)
    assert memory_by_node(str(tmp_path / "numa_maps")) == {0: 44 / 256, 1: 1.0, 2: 6.0, 11: 1.0}


def test_a_look_at_a_large_process_stops_in_time(tmp_path: Path) -> None:
    (tmp_path / "numa_maps").write_text(NUMA_MAPS)
    assert memory_by_node(str(tmp_path / "numa_maps"), longest_s=-1.0) == {}


def test_nothing_is_known_where_the_kernel_does_not_tell(tmp_path: Path) -> None:
    assert memory_by_node(str(tmp_path / "none")) == {}


def test_this_process_has_its_memory_somewhere() -> None:
    if not Path("/proc/self/numa_maps").exists():
        assert memory_by_node() == {}
        return
    before = sum(memory_by_node().values())
    block = bytearray(b"x" * (64 << 20))
    assert sum(memory_by_node().values()) >= before + 60
    del block


def quota_machine(root: Path, stat: str) -> Path:
    files = {
        "proc/self/cgroup": "0::/job/step\n",
        "proc/self/mountinfo": "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        "sys/fs/cgroup/job/step/cpu.stat": "usage_usec 5\nnr_throttled 0\nthrottled_usec 0\n",
        "sys/fs/cgroup/job/cpu.stat": stat,
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("stat", "seconds"),
    [
        ("usage_usec 9\nthrottled_usec 2500000\n", 2.5),
        ("nr_periods 3\nthrottled_time 1500000000\n", 1.5),
        ("throttled_usec x\n", 0.0),
        ("", 0.0),
    ],
)
def test_an_ancestors_quota_counts_too(tmp_path: Path, stat: str, seconds: float) -> None:
    assert read_throttled_s(quota_machine(tmp_path, stat)) == seconds


def test_throttling_is_a_problem_when_it_happens_meanwhile(tmp_path: Path) -> None:
    root = quota_machine(tmp_path, "throttled_usec 7000000\n")
    since = Throttling(root)
    assert since.problem() is None
    quota_machine(tmp_path, "throttled_usec 9000000\n")
    assert since.problem() == "the CPU quota of this process's control group has held it up for 2.0 s in all."


@pytest.mark.parametrize(
    ("memory_mib", "said"),
    [
        ({}, None),
        ({0: 900.0}, None),
        ({0: 900.0, 1: 10.0}, None),  # what was there before the process was bound
        ({0: 600.0, 1: 300.0}, "33% of the memory looked at lies on node 1, planned was 0"),
        ({1: 100.0, 2: 100.0}, "100% of the memory looked at lies on node 1-2, planned was 0"),
    ],
)
def test_memory_elsewhere_is_named(memory_mib: dict[int, float], said: str | None) -> None:
    binding = Binding((0,), (0,), 1)
    saw = Observation((0,), 0, (0,), "preferred", (), 1, memory_mib)
    lines = differences(binding, saw)
    assert [said is not None and line.startswith(said) for line in lines] == [True] * (said is not None)


def test_a_process_in_each_slot_tells_what_it_got_and_how_fast_it_is() -> None:
    bindings = [Binding((pu,), (), 1) for pu in MINE[:2]]
    with Probes(bindings) as probes:
        assert [saw.pus for saw in probes.seen] == [binding.pus for binding in bindings]
        assert [saw.threads_outside for saw in probes.seen] == [0] * len(bindings)
        assert probes.problems() == [()] * len(bindings)
        for speeds in (probes.alone(0.01), probes.together(0.01)):
            assert len(speeds) == len(bindings)
            assert all(speed.triad_gib_s > 0 and speed.gflop_s > 0 for speed in speeds)
        processes = probes._processes
    assert [process.returncode for process in processes] == [0] * len(bindings)


def test_a_probe_that_dies_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(binding: Binding):  # type: ignore[no-untyped-def]
        monkeypatch.setattr(
            probing, "bind_command", lambda *_: ["/bin/sh", "-c", "echo no numpy here >&2; exit 3"]
        )
        return real(binding)

    real = probing._started
    monkeypatch.setattr(probing, "_started", started)
    with (
        pytest.raises(BindError, match="slot 0 ended before its time: no numpy here"),
        Probes([Binding(MINE, (), 1)]),
    ):
        pass
