"""Memory limits and OOM kills from the files of the kernel, in every form that they have."""

from __future__ import annotations

from pathlib import Path

import pytest

from affinity import Memory, describe_topology, partition, read_memory, read_oom_kills, synthetic_topology
from affinity.allowance import unrestricted

V1 = "30 20 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
V2 = "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
UNLIMITED = "9223372036854771712\n"


def machine(root: Path, **files: str) -> Path:
    """A root with these files, ``__`` for a slash."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("memory_", "memory.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_a_limit_it_is_the_memory_of_the_machine(tmp_path: Path) -> None:
    root = machine(tmp_path, proc__meminfo="MemTotal:       16384000 kB\nMemFree: 1 kB\n")
    assert read_memory(root) == Memory(16000, "/proc/meminfo")


def test_nothing_is_known_of_nothing(tmp_path: Path) -> None:
    assert read_memory(tmp_path) is None
    assert read_oom_kills(tmp_path) is None


def test_the_least_limit_of_group_and_ancestors_counts_in_version_2(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        proc__meminfo="MemTotal: 16384000 kB\n",
        proc__self__cgroup="0::/slurm/job_7/step_0\n",
        proc__self__mountinfo=V2,
        sys__fs__cgroup__slurm__job_7__memory_max="2147483648\n",
        sys__fs__cgroup__slurm__job_7__step_0__memory_max="max\n",
    )
    assert read_memory(root) == Memory(2048, "/sys/fs/cgroup/slurm/job_7/memory.max")


def test_a_limit_of_version_1_counts_and_its_word_for_none_does_not(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        proc__meminfo="MemTotal: 16384000 kB\n",
        proc__self__cgroup="4:memory:/job\n",
        proc__self__mountinfo=V1,
        sys__fs__cgroup__memory__memory_limit_in_bytes=UNLIMITED,
        sys__fs__cgroup__memory__job__memory_limit_in_bytes="1073741824\n",
    )
    assert read_memory(root) == Memory(1024, "/sys/fs/cgroup/memory/job/memory.limit_in_bytes")


@pytest.mark.parametrize("garbage", ["", "many\n", "-1\n", "0\n", "9" * 40])
def test_garbage_is_no_limit(tmp_path: Path, garbage: str) -> None:
    root = machine(
        tmp_path,
        proc__meminfo="MemTotal: 16384000 kB\n",
        proc__self__cgroup="4:memory:/\n",
        proc__self__mountinfo=V1,
        sys__fs__cgroup__memory__memory_limit_in_bytes=garbage,
    )
    assert read_memory(root) == Memory(16000, "/proc/meminfo")


def test_kills_are_counted_in_the_own_group_where_that_is_told(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        proc__vmstat="pgfault 5\noom_kill 9\n",
        proc__self__cgroup="4:memory:/job\n",
        proc__self__mountinfo=V1,
        sys__fs__cgroup__memory__job__memory_oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
    )
    assert read_oom_kills(root) == 3


def test_kills_in_version_2_are_events(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        proc__self__cgroup="0::/job\n",
        proc__self__mountinfo=V2,
        sys__fs__cgroup__job__memory_events="low 0\nhigh 0\nmax 12\noom 2\noom_kill 2\n",
    )
    assert read_oom_kills(root) == 2


def test_without_a_group_kills_on_the_whole_machine_are_counted(tmp_path: Path) -> None:
    assert read_oom_kills(machine(tmp_path, proc__vmstat="pgfault 5\noom_kill 9\n")) == 9


def test_this_machine_tells_how_much_memory_there_is() -> None:
    memory = read_memory()
    assert memory is not None
    assert memory.mib > 100


def test_the_plan_shows_the_share_of_a_slot() -> None:
    from dataclasses import replace

    topology = synthetic_topology("1 4 1")
    allowance = replace(unrestricted(topology), memory=Memory(4000, "somewhere"))
    text = describe_topology(topology, allowance, partition(topology, allowance, 4))
    assert "Memory: 1000 MiB a slot of 4000 MiB  (somewhere)" in text
