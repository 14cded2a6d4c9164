"""What a process may use: masks, cpusets and quotas of both cgroup versions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from machines import smt_machine, write_tree

from affinity import Allowance, read_allowance, read_topology, synthetic_topology, unrestricted

V2 = "30 20 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "32 30 0:28 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
)


def allowance(root: Path, files: dict[str, str]) -> Allowance:
    write_tree(root, smt_machine() | files)
    return read_allowance(read_topology(root), root)


def v2(root: Path, files: dict[str, str], path: str = "/a/b/c") -> Allowance:
    tree = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    return allowance(root, tree | {"proc/self/cgroup": f"0::{path}\n", "proc/self/mountinfo": V2})


@pytest.mark.parametrize(
    ("limits", "quota"),
    [
        ({"a/b/c/cpu.max": "max 100000\n", "a/b/cpu.max": "400000 100000\n"}, 4.0),
        ({"a/b/c/cpu.max": "800000 100000\n", "a/cpu.max": "150000 100000\n"}, 1.5),
        ({"a/b/c/cpu.max": "50000 100000\n", "a/cpu.max": "150000 100000\n"}, 0.5),
        ({"cpu.max": "200000 100000\n"}, 2.0),
        ({"a/b/c/cpu.max": "max\n"}, None),
        ({"a/b/c/cpu.max": "300000\n"}, 3.0),
        ({"a/b/c/cpu.max": "garbage\n"}, None),
        ({"a/b/c/cpu.max": "0 0\n"}, None),
        ({"x/cpu.max": "100000 100000\n"}, None),
    ],
)
def test_the_smallest_v2_quota_of_all_ancestors_counts(
    limits: dict[str, str], quota: float | None, tmp_path: Path
) -> None:
    found = v2(tmp_path, limits)
    assert found.quota_cpus == quota
    assert found.pus == tuple(range(8))


@pytest.mark.parametrize(
    ("leaf", "parent", "quota"), [("-1", "250000", 2.5), ("300000", "-1", 3.0), ("-1", "-1", None)]
)
def test_the_smallest_v1_quota_of_all_ancestors_counts(
    leaf: str, parent: str, quota: float | None, tmp_path: Path
) -> None:
    cpu = "sys/fs/cgroup/cpu,cpuacct"
    files = {
        "proc/self/cgroup": "4:cpuset:/\n3:cpu,cpuacct:/slurm/job\n1:name=systemd:/x\n0::/y\n",
        "proc/self/mountinfo": V2 + V1,
        f"{cpu}/slurm/job/cpu.cfs_quota_us": leaf,
        f"{cpu}/slurm/job/cpu.cfs_period_us": "100000",
        f"{cpu}/slurm/cpu.cfs_quota_us": parent,
        f"{cpu}/slurm/cpu.cfs_period_us": "100000",
    }
    found = allowance(tmp_path, files)
    assert found.quota_cpus == quota
    if quota == 2.5:
        assert "cgroup v1 /sys/fs/cgroup/cpu,cpuacct/slurm/cpu.cfs_quota_us" in found.describe()


def test_the_nearest_v2_cpuset_counts(tmp_path: Path) -> None:
    files = {
        "cpuset.cpus.effective": "0-7\n",
        "a/b/cpuset.cpus.effective": "0-2\n",
        "a/b/cpuset.mems.effective": "1\n",
    }
    found = v2(tmp_path, files)
    assert (found.pus, found.memory_nodes) == ((0, 1, 2), (1,))
    (cpuset,) = [one for one in found.constraints if one.kind == "cpuset"]
    assert cpuset.source == "cgroup v2 /sys/fs/cgroup/a/b/cpuset.cpus.effective"


def test_the_v1_cpuset_counts_under_either_name(tmp_path: Path) -> None:
    base = {"proc/self/cgroup": "4:cpuset:/job\n", "proc/self/mountinfo": V1}
    one = allowance(tmp_path / "1", base | {"sys/fs/cgroup/cpuset/job/cpuset.cpus": "1,5\n"})
    two = allowance(
        tmp_path / "2",
        {
            "proc/self/cpuset": "/job\n",
            "proc/mounts": "none /dev/cpuset cgroup rw,cpuset,noprefix 0 0\n",
            "dev/cpuset/job/cpus": "1,5\n",
        },
    )
    assert one.pus == two.pus == (1, 5)


def test_a_path_of_the_host_is_found_at_the_mount_of_a_container(tmp_path: Path) -> None:
    mount = V2.replace(" / /sys", " /docker/abc /sys")
    paths = {"/docker/abc/inner": 0.5, "/docker/abc": 1.0, "/../..": 1.0, "/elsewhere": 1.0}
    for number, (path, quota) in enumerate(paths.items()):
        files = {
            "proc/self/cgroup": f"0::{path}\n",
            "proc/self/mountinfo": mount,
            "sys/fs/cgroup/cpu.max": "100000 100000\n",
            "sys/fs/cgroup/inner/cpu.max": "50000 100000\n",
        }
        assert allowance(tmp_path / str(number), files).quota_cpus == quota


@pytest.mark.parametrize("other_first", [True, False])
def test_a_mount_of_another_group_says_nothing_where_a_mount_shows_ours(
    other_first: bool, tmp_path: Path
) -> None:
    mounts = [V2, V2.replace(" / /sys/fs/cgroup ", " /other /mnt/cg ")]
    files = {
        "proc/self/cgroup": "0::/job\n",
        "proc/self/mountinfo": "".join(reversed(mounts) if other_first else mounts),
        "sys/fs/cgroup/job/cpu.max": "max 100000\n",
        "mnt/cg/cpu.max": "10000 100000\n",
        "mnt/cg/cpuset.cpus.effective": "7\n",
    }
    found = allowance(tmp_path, files)
    assert (found.pus, found.quota_cpus) == (tuple(range(8)), None)


def test_a_mount_of_another_v1_group_says_nothing_where_a_mount_shows_ours(tmp_path: Path) -> None:
    other = "33 30 0:28 /other /mnt/cpuset rw - cgroup cgroup rw,cpuset\n"
    files = {
        "proc/self/cgroup": "4:cpuset:/job\n",
        "proc/self/mountinfo": V1 + other,
        "sys/fs/cgroup/cpuset/job/cpuset.cpus": "1-5\n",
        "mnt/cpuset/cpuset.cpus": "5\n",
    }
    assert allowance(tmp_path, files).pus == (1, 2, 3, 4, 5)


def test_the_mask_is_cut_with_the_cpuset_and_the_online_cpus(tmp_path: Path) -> None:
    status = "Name:\tx\nCpus_allowed_list:\t1-3,6,40\nMems_allowed_list:\t0\n"
    files = {
        "proc/self/status": status,
        "proc/self/cgroup": "0::/\n",
        "proc/self/mountinfo": V2,
        "sys/fs/cgroup/cpuset.cpus.effective": "0-2,6-7\n",
        "sys/devices/system/cpu/online": "0-5,7\n",
    }
    found = allowance(tmp_path, files)
    assert (found.pus, found.memory_nodes) == ((1, 2), (0,))
    assert {one.kind for one in found.constraints} == {"online", "scheduler mask", "cpuset"}
    assert all(one.source and one.text for one in found.constraints)


def test_the_description_names_each_limit(tmp_path: Path) -> None:
    files = {"proc/self/status": "Cpus_allowed_list:\t0-3\n", "sys/fs/cgroup/cpu.max": "400000 100000"}
    write_tree(tmp_path, files)
    found = v2(tmp_path, {})
    assert found.describe() == (
        "8 PUs, 4 allowed by the scheduler mask, quota 4.0 CPUs from cgroup v2 /sys/fs/cgroup/cpu.max"
    )
    assert unrestricted(synthetic_topology("1")).describe() == "1 PU"


def test_this_process_may_use_what_the_scheduler_says() -> None:
    found = read_allowance(read_topology())
    assert set(found.pus) == os.sched_getaffinity(0)
    assert any(one.kind == "scheduler mask" for one in found.constraints)
