"""A machine from Linux's sysfs: a root folder comes in, a Topology goes out. Needs no rights and no lscpu.

Sources: Documentation/admin-guide/cputopology.rst, Documentation/ABI/stable/sysfs-devices-node and
Documentation/ABI/testing/sysfs-devices-system-cpu of the Linux kernel.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from affinity.assemble import CoreFacts, NodeFacts, assemble
from affinity.caches import read_llcs
from affinity.elsewhere import plain_topology
from affinity.errors import TopologyError
from affinity.files import numbered, read_cpus, read_int, read_list, read_text
from affinity.kinds import read_kinds
from affinity.topology import Topology


def read_topology(root: Path = Path("/")) -> Topology:
    """The machine whose file system root is ``root`` (holds ``sys/`` and ``proc/``), or whose sysfs it is.

    What the kernel does not tell is filled in by the plainest assumption: a PU without siblings is a core, a
    core without a node belongs to node 0 (or the lowest with CPUs), an LLC without cache files is the part of
    a NUMA node inside one package. A core is never split: it lies in the node most of its PUs are listed in.
    Only a folder without CPUs raises, TopologyError; garbage in single files counts as missing. Where this
    machine itself ("/") shows no CPUs, as elsewhere than on Linux, all cores are equal (``elsewhere``).
    """
    if root == Path("/") and sys.platform != "linux":
        return plain_topology()
    devices = _devices(root)
    cpu_folder = f"{devices}/system/cpu"
    online, offline = _online(cpu_folder)
    if not online and root == Path("/"):
        return plain_topology()
    if not online:
        raise TopologyError(
            f"No CPUs under {cpu_folder}. Give a file system root that holds sys/devices/system/cpu,"
            " or a sysfs."
        )
    nodes, node_of = _read_nodes(f"{devices}/system/node")
    cores = _read_cores(cpu_folder, online)
    return assemble(
        _core_facts(devices, cores, node_of, min(node_of.values(), default=nodes[0].os_index)),
        nodes,
        offline=offline,
        source=f"sysfs {devices.removesuffix('/devices')}",
        cpu_model=_cpu_model(root),
    )


def _devices(root: Path) -> str:
    inside = root / "sys" / "devices"
    itself = root / "devices"
    return str(itself if not inside.is_dir() and (itself / "system" / "cpu").is_dir() else inside)


def _online(cpu_folder: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    present = numbered(cpu_folder, "cpu") or read_list(f"{cpu_folder}/online") or ()
    listed = set(read_list(f"{cpu_folder}/online") or present)
    # Old kernels have no list of online CPUs, and an offline CPU loses its topology folder.
    told = {pu for pu in present if Path(f"{cpu_folder}/cpu{pu}/topology").is_dir()} or set(present)
    on = listed & told
    online = [pu for pu in present if pu in on and read_int(f"{cpu_folder}/cpu{pu}/online") != 0]
    return tuple(online), tuple(sorted(set(present) - set(online)))


def _read_nodes(folder: str) -> tuple[list[NodeFacts], dict[int, int]]:
    numbers = numbered(folder, "node")
    nodes = [_read_node(f"{folder}/node{number}", number, len(numbers)) for number in numbers]
    node_of: dict[int, int] = {}
    for number in numbers:
        for pu in read_cpus(f"{folder}/node{number}/cpulist", f"{folder}/node{number}/cpumap") or ():
            node_of.setdefault(pu, number)
    return nodes or [NodeFacts(0, None, ())], node_of


def _read_node(folder: str, number: int, count: int) -> NodeFacts:
    words = (read_text(f"{folder}/distance") or "").split()
    known = len(words) == count and all(word.isdigit() and len(word) < 10 for word in words)
    return NodeFacts(number, _memory_mib(f"{folder}/meminfo"), tuple(map(int, words)) if known else ())


def _memory_mib(path: str) -> int | None:
    for line in (read_text(path) or "").splitlines():
        label, _, value = line.partition("MemTotal:")
        amount = value.split()[:1]
        if amount and label.startswith("Node") and amount[0].isdigit() and len(amount[0]) < 18:
            return int(amount[0]) // 1024
    return None


def _read_cores(cpu_folder: str, online: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The online PUs grouped by core; the first PU of a core speaks for its siblings."""
    cores = []
    left = dict.fromkeys(online)
    while left:
        pu = next(iter(left))
        siblings = set(_siblings(f"{cpu_folder}/cpu{pu}/topology")) | {pu}
        core = tuple(other for other in left if other in siblings)
        cores.append(core)
        for other in core:
            del left[other]
    return cores


def _siblings(folder: str) -> tuple[int, ...]:
    for name in ("core_cpus", "thread_siblings"):
        pus = read_cpus(f"{folder}/{name}_list", f"{folder}/{name}")
        if pus:
            return pus
    return ()


def _core_facts(
    devices: str, cores: list[tuple[int, ...]], node_of: dict[int, int], lost: int
) -> Iterable[CoreFacts]:
    firsts = [core[0] for core in cores]
    llcs = read_llcs(f"{devices}/system/cpu", sorted(firsts))
    kinds = read_kinds(devices, firsts)
    keys: dict[object, int] = {}
    for core in cores:
        package = read_int(f"{devices}/system/cpu/cpu{core[0]}/topology/physical_package_id")
        package = -1 if package is None else package
        votes = Counter(node_of[pu] for pu in core if pu in node_of)
        node = max(sorted(votes), key=lambda number: votes[number]) if votes else lost
        cache = llcs.get(core[0])
        key = keys.setdefault((package, node) if cache is None else id(cache), len(keys))
        yield CoreFacts(core, package, node, key, kinds[core[0]], cache.size_kib if cache else None)


def _cpu_model(root: Path) -> str:
    """The name as people know it: 'model name' on x86, 'cpu' on POWER; Arm's kernel tells none."""
    fields: dict[str, str] = {}
    for line in (read_text(str(root / "proc" / "cpuinfo")) or "").splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    names = (fields.get(name, "") for name in ("model name", "Model", "cpu", "family"))
    return next((name for name in names if name and not name.isdigit()), "")
