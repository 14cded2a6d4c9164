"""The errors of this package: what a caller may catch.

AffinityError                  anything below, and nothing else, leaves this package
├── CpusetError                a CPU list or mask that cannot be read; a ValueError too
├── TopologyError              no machine can be read where one was looked for
├── SyntheticError             the text of an invented machine is wrong; names the token
├── PartitionError             no slots, or more slots than cores without oversubscription
└── BindError                  the kernel refused a binding, or the command does not exist
"""

from __future__ import annotations


class AffinityError(Exception):
    """Base of all errors of this package; its text is one line for people: value, rule, next step."""


class CpusetError(AffinityError, ValueError):
    """A CPU list or mask that does not follow cpuset(7)'s "List format" or "Mask format"."""


class TopologyError(AffinityError):
    """No machine's tree of CPUs was found where one was looked for."""


class SyntheticError(AffinityError):
    """The description of an invented machine is wrong."""


class PartitionError(AffinityError):
    """The machine cannot be divided into that many slots."""


class BindError(AffinityError):
    """A process cannot be bound, or its command cannot be started."""
