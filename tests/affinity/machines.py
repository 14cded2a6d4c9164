"""Machines for the tests: names come in, folders of snapshots or written sysfs trees go out."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import gettempdir, mkdtemp

from affinity import Topology
from affinity.assemble import CoreFacts, NodeFacts, assemble

SHARED = Path(os.environ.get("NANO_HPO_SHARED", Path(__file__).parents[3] / "shared"))
SNAPSHOTS = SHARED / "topologies"


def index() -> dict[str, dict[str, str]]:
    """INDEX.tsv by name; empty where the folder is absent."""
    path = SNAPSHOTS / "INDEX.tsv"
    if not path.is_file():
        return {}
    with path.open() as file:
        return {row["name"]: row for row in csv.DictReader(file, delimiter="\t")}


_TOLD = (
    *("proc/cpuinfo", "proc/mounts", "proc/self", "cpuset", "cgroup", "devices/cpu_core", "devices/cpu_atom"),
    *("system/cpu/online", "cpu*/online", "cpu_capacity", "base_frequency", "physical_package_id"),
    *("core_cpus", "core_cpus_list", "thread_siblings", "thread_siblings_list"),
    *("index*/level", "index*/type", "index*/size", "index*/shared_cpu_list", "index*/shared_cpu_map"),
    *("node*/cpulist", "node*/cpumap", "node*/meminfo", "node*/distance"),
    # hwloc asks for these as well.
    *("core_siblings", "package_cpus", "core_id", "die_cpus", "die_id", "cluster_cpus", "cluster_id"),
    *("system/cpu/possible", "system/node/online", "system/node/possible", "shared_cpu_map", "index*/id"),
    *("book_siblings", "book_id", "drawer_siblings", "drawer_id", "hwloc-nodes*", "meminfo"),
)
"""What the readers may ask for: thousands of other files would take a minute to write."""


@cache
def snapshot_root(name: str) -> Path:
    """The snapshot as a file system root, unpacked once on a machine; tar(1), because tarfile is slow."""
    archive = SNAPSHOTS / index()[name]["file"]
    folder = Path(gettempdir()) / f"nano-topology-2-{os.getuid()}-{archive.stat().st_mtime_ns}-{name}"
    if not folder.is_dir():
        _unpack(archive, folder)
    return next(path.parent.parent for level in ("*", "*/*") for path in folder.glob(f"{level}/sys/devices"))


def _unpack(archive: Path, folder: Path) -> None:
    half = Path(mkdtemp(prefix=f"{folder.name}-"))
    command = [
        "tar",
        "-xjf",
        str(archive),
        "-C",
        str(half),
        "--no-same-owner",
        "--wildcards",
        "--no-anchored",
    ]
    # Exit code 2: no archive has a file for every pattern. A broken one has no CPUs, and the tests say so.
    subprocess.run([*command, *_TOLD], stderr=subprocess.DEVNULL, check=False)
    try:
        half.rename(folder)
    except OSError:  # another test process was faster
        shutil.rmtree(half)


def write_tree(root: Path, files: Mapping[str, str]) -> Path:
    """The root, with these files in it."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


CPU = "sys/devices/system/cpu"
NODE = "sys/devices/system/node"


def smt_machine() -> dict[str, str]:
    """2 packages = 2 nodes = 2 L3 of 2 cores of 2 PUs, siblings i and i + 4, with lists."""
    files = {f"{CPU}/online": "0-7\n"}
    for pu in range(8):
        core, package = pu % 4, pu % 4 // 2
        here = f"{package * 2}-{package * 2 + 1},{package * 2 + 4}-{package * 2 + 5}"
        files |= {
            f"{CPU}/cpu{pu}/topology/core_cpus_list": f"{core},{core + 4}\n",
            f"{CPU}/cpu{pu}/topology/physical_package_id": f"{package}\n",
            f"{CPU}/cpu{pu}/cache/index0/level": "1\n",
            f"{CPU}/cpu{pu}/cache/index0/type": "Data\n",
            f"{CPU}/cpu{pu}/cache/index0/shared_cpu_list": f"{core},{core + 4}\n",
            f"{CPU}/cpu{pu}/cache/index3/level": "3\n",
            f"{CPU}/cpu{pu}/cache/index3/type": "Unified\n",
            f"{CPU}/cpu{pu}/cache/index3/size": "16384K\n",
            f"{CPU}/cpu{pu}/cache/index3/shared_cpu_list": f"{here}\n",
        }
    for node in range(2):
        files[f"{NODE}/node{node}/cpulist"] = f"{node * 2}-{node * 2 + 1},{node * 2 + 4}-{node * 2 + 5}\n"
        files[f"{NODE}/node{node}/meminfo"] = f"Node {node} MemTotal:  8388608 kB\n"
        files[f"{NODE}/node{node}/distance"] = "10 21\n" if node == 0 else "21 10\n"
    files["proc/cpuinfo"] = "processor\t: 0\nmodel name\t: Example 9000\n"
    return files


def old_machine() -> dict[str, str]:
    """Masks only, NUL bytes, CPU 3 offline (no topology folder), package -1, no nodes, no caches."""
    files = {}
    for pu in range(3):
        files[f"{CPU}/cpu{pu}/topology/thread_siblings"] = ("0000000a\n\0", "00000005\n\0")[pu % 2 == 0]
        files[f"{CPU}/cpu{pu}/topology/physical_package_id"] = "-1\n"
    files[f"{CPU}/cpu3/online"] = "0\n"
    return files


def odd_nodes() -> dict[str, str]:
    """Sparse nodes 0, 2, 5, 8: 2 has no memory, 5 and 8 no CPUs; CPUs 2 and 3 are one core of two nodes."""
    files = {f"{CPU}/online": "0-3\n"}
    for pu in range(4):
        siblings = "2-3" if pu > 1 else str(pu)
        files[f"{CPU}/cpu{pu}/topology/thread_siblings_list"] = siblings
        files[f"{CPU}/cpu{pu}/topology/physical_package_id"] = "0"
    for node, cpus, kib, row in (
        (0, "0-2", 1048576, "10 20 40 30"),
        (2, "3,1", 0, "20 10 30 50"),
        (5, "", 2097152, "40 30 10 60"),
        (8, "", 2097152, "30 50 60 10"),
    ):
        files[f"{NODE}/node{node}/cpulist"] = cpus + "\n"
        files[f"{NODE}/node{node}/meminfo"] = f"Node {node} MemTotal: {kib} kB\n"
        files[f"{NODE}/node{node}/distance"] = row + "\n"
    files[f"{NODE}/node0/cpulist"] = "0,2\n"
    return files


def hybrid_machine() -> dict[str, str]:
    """2 fast cores of 2 PUs (0-3) and 4 slow ones (4-7)."""
    files = {
        f"{CPU}/online": "0-7\n",
        "sys/devices/cpu_core/cpus": "0-3\n",
        "sys/devices/cpu_atom/cpus": "4-7\n",
    }
    for pu in range(8):
        first = pu - pu % 2
        siblings = f"{first}-{first + 1}" if pu < 4 else f"{pu}"
        files[f"{CPU}/cpu{pu}/topology/core_cpus_list"] = siblings
        files[f"{CPU}/cpu{pu}/topology/physical_package_id"] = "0"
    return files


def caged_machine() -> dict[str, str]:
    """The first machine, of whose 8 PUs a cpuset allows three, with memory of node 1 alone."""
    return smt_machine() | {
        "proc/self/cgroup": "0::/job\n",
        "proc/self/mountinfo": "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        "sys/fs/cgroup/job/cpuset.cpus.effective": "0,2,6\n",
        "sys/fs/cgroup/job/cpuset.mems.effective": "1\n",
    }


def far_memory() -> dict[str, str]:
    """3 nodes: the CPUs are in node 2, which has no memory; node 1 is nearer to it than node 0."""
    files = {f"{CPU}/online": "0-1\n"}
    for node, cpus, kib, row in (
        (0, "", 1048576, "10 20 40"),
        (1, "", 1048576, "20 10 15"),
        (2, "0-1", 0, "40 15 10"),
    ):
        files[f"{NODE}/node{node}/cpulist"] = cpus + "\n"
        files[f"{NODE}/node{node}/meminfo"] = f"Node {node} MemTotal: {kib} kB\n"
        files[f"{NODE}/node{node}/distance"] = row + "\n"
    for pu in range(2):
        files[f"{CPU}/cpu{pu}/topology/core_cpus_list"] = str(pu)
        files[f"{CPU}/cpu{pu}/topology/physical_package_id"] = "0"
    return files


OWN = {
    "smt": smt_machine,
    "old": old_machine,
    "odd": odd_nodes,
    "hybrid": hybrid_machine,
    "caged": caged_machine,
    "far": far_memory,
}

MACHINES = [*OWN, *index()]
"""Names of all machines at hand: always this folder's own, and the snapshots where there are any."""


def machine_root(name: str, folder: Path) -> Path:
    """The machine of that name as a file system root; our own are written into the folder."""
    return write_tree(folder, OWN[name]()) if name in OWN else snapshot_root(name)


def ragged(
    shape: list[list[list[int]]],
    kinds: int = 1,
    numbers: list[int] | None = None,
    memory: bool = True,
    distances: list[list[int]] | None = None,
) -> Topology:
    """A machine from nested lists: packages[nodes[cores' PU counts]], an LLC for each three cores.

    CPUs are renumbered at will; distances are 12 inside a package and 21 outside, or as given.
    """
    placed = [(package, node) for package, nodes in enumerate(shape) for node in nodes]
    package_of = [package for package, _ in placed]
    cores, nodes, pu = [], [], 0
    for number, (package, node) in enumerate(placed):
        for core, pus in enumerate(node):
            own = range(pu, pu + pus)
            pu += pus
            names = tuple(sorted(numbers[one] for one in own)) if numbers else tuple(own)
            cores.append(CoreFacts(names, package, number, number * 64 + core // 3, core % kinds))
        is_first = package not in package_of[:number]
        row = distances[number] if distances else _rows(package_of)[number]
        nodes.append(NodeFacts(number, 1024 if memory or not is_first else 0, tuple(row)))
    return assemble(cores, nodes, source="ragged")


def _rows(package_of: list[int]) -> list[list[int]]:
    """10 on the diagonal, 12 inside a package, 21 outside."""
    places = list(enumerate(package_of))
    return [[10 if a == b else 12 if here == there else 21 for b, there in places] for a, here in places]
