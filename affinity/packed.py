"""A topology as plain data that fits a database: a Topology comes in, a small dict goes out, and back again.

A core is a short list, ``[package, NUMA node, LLC, kind, "0,64"]``: 4 KB for 128 cores. The distances of NUMA
nodes are left out; they are for dividing a machine, which was done when this is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from affinity.assemble import CoreFacts, NodeFacts, assemble
from affinity.cpuset import format_list, parse_list
from affinity.topology import Topology


def pack_topology(topology: Topology) -> dict[str, Any]:
    """The machine as data for ``json.dumps``."""
    return {
        "cpu_model": topology.cpu_model,
        "source": topology.source,
        "cores": [[c.package, c.numa_node, c.llc, c.kind, format_list(c.pus)] for c in topology.cores],
        "nodes": [[node.os_index, node.memory_mib] for node in topology.numa_nodes],
        "llc_kib": [llc.size_kib for llc in topology.llcs],
        "offline": format_list(topology.offline),
    }


def unpack_topology(data: Mapping[str, Any]) -> Topology:
    """What :func:`pack_topology` has packed, without distances.

    Raises ``KeyError``, ``ValueError``, ``TypeError``, ``IndexError`` or ``AttributeError`` for other data.
    """
    sizes = data["llc_kib"]
    facts = [
        CoreFacts(tuple(parse_list(pus)), package, node, llc, kind, sizes[llc])
        for package, node, llc, kind, pus in data["cores"]
    ]
    nodes = [NodeFacts(os_index, memory_mib, ()) for os_index, memory_mib in data["nodes"]]
    offline = tuple(parse_list(data["offline"]))
    return assemble(facts, nodes, offline=offline, source=data["source"], cpu_model=data["cpu_model"])
