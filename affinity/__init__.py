"""A machine's cores, caches and NUMA nodes: read them, divide them, bind processes to the shares.

    topology  = read_topology()                        what there is
    allowance = read_allowance(topology)               what this process may use of it
    partition = partition(topology, allowance, 4)      that in four slots
    argv      = bind_command(Binding.of(slot), [...])  a command that runs in one of them

Knows nothing of trials, studies, MPI or Slurm. Importing it is cheap: names load their modules on first use.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

TYPE_CHECKING = False  # type checkers take it for true; importing typing would cost half of our time
if TYPE_CHECKING:
    from affinity.allowance import Allowance, Constraint, read_allowance, unrestricted
    from affinity.binding import Binding, bind_command, bind_this_process, exec_bound
    from affinity.choices import Choices
    from affinity.cpuset import format_list, parse_list, parse_mask
    from affinity.describe import as_json, describe_topology
    from affinity.elsewhere import can_bind
    from affinity.errors import (
        AffinityError,
        BindError,
        CpusetError,
        PartitionError,
        SyntheticError,
        TopologyError,
    )
    from affinity.explain import explain
    from affinity.memory import Memory, read_memory, read_oom_kills
    from affinity.mempolicy import get_policy, set_policy
    from affinity.observe import Observation, Pool, differences, observe
    from affinity.options import add_choices, choices_of
    from affinity.packed import pack_topology, unpack_topology
    from affinity.pages import memory_by_node
    from affinity.partition import partition
    from affinity.probing import Probes, Speed
    from affinity.slots import Partition, Slot
    from affinity.synthetic import synthetic_topology
    from affinity.sysfs import read_topology
    from affinity.threads import ThreadSettings, limit_loaded_pools, thread_variables
    from affinity.throttling import Throttling, read_throttled_s
    from affinity.topology import Core, CoreKind, Llc, NumaNode, Package, Topology

__all__ = [
    "AffinityError",
    "Allowance",
    "BindError",
    "Binding",
    "Choices",
    "Constraint",
    "Core",
    "CoreKind",
    "CpusetError",
    "Llc",
    "Memory",
    "NumaNode",
    "Observation",
    "Package",
    "Partition",
    "PartitionError",
    "Pool",
    "Probes",
    "Slot",
    "Speed",
    "SyntheticError",
    "ThreadSettings",
    "Throttling",
    "Topology",
    "TopologyError",
    "add_choices",
    "as_json",
    "bind_command",
    "bind_this_process",
    "can_bind",
    "choices_of",
    "describe_topology",
    "differences",
    "exec_bound",
    "explain",
    "format_list",
    "get_policy",
    "limit_loaded_pools",
    "memory_by_node",
    "observe",
    "pack_topology",
    "parse_list",
    "parse_mask",
    "partition",
    "read_allowance",
    "read_memory",
    "read_oom_kills",
    "read_throttled_s",
    "read_topology",
    "set_policy",
    "synthetic_topology",
    "thread_variables",
    "unpack_topology",
    "unrestricted",
]

_NAMES = {
    "allowance": "Allowance Constraint read_allowance unrestricted",
    "binding": "Binding bind_command bind_this_process exec_bound",
    "choices": "Choices",
    "cpuset": "format_list parse_list parse_mask",
    "describe": "as_json describe_topology",
    "elsewhere": "can_bind",
    "explain": "explain",
    "memory": "Memory read_memory read_oom_kills",
    "errors": "AffinityError BindError CpusetError PartitionError SyntheticError TopologyError",
    "mempolicy": "get_policy set_policy",
    "observe": "Observation Pool differences observe",
    "packed": "pack_topology unpack_topology",
    "pages": "memory_by_node",
    "options": "add_choices choices_of",
    "partition": "partition",
    "probing": "Probes Speed",
    "slots": "Partition Slot",
    "synthetic": "synthetic_topology",
    "sysfs": "read_topology",
    "throttling": "Throttling read_throttled_s",
    "threads": "ThreadSettings limit_loaded_pools thread_variables",
    "topology": "Core CoreKind Llc NumaNode Package Topology",
}
"""Module to the public names it holds; the imports above say the same to type checkers."""

_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}


class _Package(ModuleType):
    """Loads public names on first use; `partition` and `observe` stay functions when their modules load."""

    def __getattr__(self, name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module 'affinity' has no attribute {name!r}")
        value = getattr(import_module(f"affinity.{_HOMES[name]}"), name)
        setattr(self, name, value)
        return value

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, ModuleType) and name in _HOMES:  # the import system binds submodules here
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
