"""Control groups: a file system root comes in, this process's CPU quotas and cpusets there go out.

Sources: Documentation/admin-guide/cgroup-v2.rst (cpu.max, cpuset.cpus.effective),
Documentation/admin-guide/cgroup-v1/cpusets.rst, Documentation/scheduler/sched-bwc.rst, cgroups(7).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from affinity.files import read_int, read_list, read_text

_CPU_FILES = ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus", "cpus")
_MEMORY_FILES = ("cpuset.mems.effective", "cpuset.effective_mems", "cpuset.mems", "mems")
"""Best first: v2, v1 as the kernel really uses it, v1 as written, v1 mounted with ``noprefix``."""


@dataclass(frozen=True, slots=True)
class Quota:
    """A CPU bandwidth limit: CPU seconds per second, and where it stands."""

    cpus: float
    source: str


@dataclass(frozen=True, slots=True)
class Cpuset:
    """A cpuset's CPUs or memory nodes, and where they stand."""

    numbers: tuple[int, ...]
    source: str


@dataclass(frozen=True, slots=True)
class _Mount:
    version: int
    point: str
    root: str
    options: frozenset[str]


def read_quotas(root: Path) -> tuple[Quota, ...]:
    """All CPU quotas over this process: its group's and every visible ancestor's, the leaf first.

    An ancestor's counts too: a job's own ``cpu.max`` may say "max" under a limited parent.
    """
    return tuple(
        Quota(cpus, f"cgroup v{mount.version} {folder}/{name}")
        for mount, path in _hierarchies(root, "cpu")
        for folder in _ancestry(mount, path)
        for name, cpus in [_quota(f"{_under(root, folder)}", mount.version)]
        if cpus is not None
    )


def read_cpusets(root: Path) -> tuple[Cpuset, ...]:
    """The CPUs that each cpuset hierarchy leaves to this process."""
    return tuple(_cpusets(root, _CPU_FILES))


def read_memory_sets(root: Path) -> tuple[Cpuset, ...]:
    """The memory nodes that each cpuset hierarchy leaves to this process."""
    return tuple(_cpusets(root, _MEMORY_FILES))


def memory_groups(root: Path) -> Iterator[tuple[str, str]]:
    """This process's group of the memory controller and its visible ancestors, the leaf first.

    Each as the process sees its folder, and as it lies under ``root``.
    """
    for mount, path in _hierarchies(root, "memory"):
        for folder in _ancestry(mount, path):
            yield folder, _under(root, folder)


def cpu_groups(root: Path) -> Iterator[str]:
    """The folders under ``root`` of this process's group of the CPU controller and its visible ancestors."""
    for mount, path in _hierarchies(root, "cpu"):
        for folder in _ancestry(mount, path):
            yield _under(root, folder)


def _cpusets(root: Path, names: tuple[str, ...]) -> Iterator[Cpuset]:
    """The nearest group that says something: an empty v1 or unset v2 file means the parent's."""
    for mount, path in _hierarchies(root, "cpuset"):
        found = (
            Cpuset(numbers, f"cgroup v{mount.version} {folder}/{name}")
            for folder in _ancestry(mount, path)
            for name in names
            for numbers in [read_list(f"{_under(root, folder)}/{name}")]
            if numbers
        )
        yield from list(found)[:1]


def _quota(folder: str, version: int) -> tuple[str, float | None]:
    if version == 2:
        quota, _, period = (read_text(f"{folder}/cpu.max") or "max").partition(" ")
        return "cpu.max", _ratio(quota, period or "100000")
    quota_us = read_int(f"{folder}/cpu.cfs_quota_us")
    period_us = read_int(f"{folder}/cpu.cfs_period_us")
    return "cpu.cfs_quota_us", _ratio(str(quota_us), str(period_us or 100000))


def _ratio(quota: str, period: str) -> float | None:
    """Quota over period, None for "max", -1 and garbage."""
    if not (quota.isdigit() and period.isdigit() and len(quota) < 18 and len(period) < 18):
        return None
    return int(quota) / int(period) if int(quota) > 0 and int(period) > 0 else None


def _hierarchies(root: Path, controller: str) -> Iterator[tuple[_Mount, str]]:
    """The mounts where this controller may speak, each with this process's path below its mount point."""
    paths = _paths(root)
    mounts = _mounts(root)
    unified = [mount for mount in mounts if mount.version == 2]
    yield from _visible(unified, paths.get("", None if paths else "/"))
    of_controller = [mount for mount in mounts if mount.version == 1 and controller in mount.options]
    yield from _visible(of_controller, paths.get(controller, "/"))


def _visible(mounts: list[_Mount], path: str | None) -> Iterator[tuple[_Mount, str]]:
    """The mounts of one hierarchy that show the group of that path, with its path below their mount point.

    In a container the mount's root may be the group itself, or the path may lead outside ("/../.."): where no
    mount shows the group, what is seen at the mount points is all there is.
    """
    if path is None:
        return
    path = posixpath.normpath("/" + path.lstrip("/"))
    shown = [(mount, posixpath.relpath(path, mount.root)) for mount in mounts if _below(path, mount.root)]
    yield from shown or [(mount, path.lstrip("/")) for mount in mounts]


def _paths(root: Path) -> dict[str, str]:
    """Controller to path from /proc/self/cgroup ('' for v2); before Linux 2.6.24 /proc/self/cpuset alone."""
    paths: dict[str, str] = {}
    for line in (read_text(str(root / "proc/self/cgroup")) or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if colon:
            paths.update(dict.fromkeys(controllers.split(","), path))
    cpuset = read_text(str(root / "proc/self/cpuset"))
    if cpuset:
        paths.setdefault("cpuset", cpuset)
    return paths


def _mounts(root: Path) -> list[_Mount]:
    lines = (read_text(str(root / "proc/self/mountinfo")) or "").splitlines()
    found = [mount for line in lines for mount in _from_mountinfo(line)]
    if lines:
        return found
    lines = (
        read_text(str(root / "proc/mounts")) or read_text(str(root / "proc/self/mounts")) or ""
    ).splitlines()
    return [mount for line in lines for mount in _from_mounts(line)]


def _from_mountinfo(line: str) -> Iterator[_Mount]:
    """proc(5): id parent major:minor root point options [tags] - type source super-options."""
    left, _, right = line.partition(" - ")
    fields, tail = left.split(), right.split()
    if len(fields) >= 6 and len(tail) >= 3:
        yield from _mount(tail[0], _plain(fields[4]), _plain(fields[3]), tail[2])


def _from_mounts(line: str) -> Iterator[_Mount]:
    fields = line.split()
    if len(fields) >= 4:
        yield from _mount(fields[2], _plain(fields[1]), "/", fields[3])


def _mount(kind: str, point: str, root: str, options: str) -> Iterator[_Mount]:
    if kind in ("cgroup", "cgroup2"):
        yield _Mount(2 if kind == "cgroup2" else 1, point, root, frozenset(options.split(",")))
    elif kind == "cpuset":
        yield _Mount(1, point, root, frozenset({"cpuset"}))


def _plain(field: str) -> str:
    """Spaces are octal in these files (proc(5))."""
    return field.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")


def _ancestry(mount: _Mount, path: str) -> Iterator[str]:
    """The group's folder and all its parents up to the mount point."""
    while path not in ("", "."):
        yield f"{mount.point}/{path}"
        path = posixpath.dirname(path)
    yield mount.point


def _below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _under(root: Path, folder: str) -> str:
    return f"{root}{folder}" if str(root) != "/" else folder
