"""What an agent tells of its machine: its share in, plain data for the database out, and back as a record."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from affinity import format_list, pack_topology, parse_list, thread_variables, unpack_topology
from orchestrator.machine import Share
from orchestrator.records import HostRecord

_PACKAGES = (
    "nano-hpo",
    "optuna",
    "numpy",
    "scikit-learn",
    "torch",
    "pytorch-lightning",
    "keras",
    "tensorflow",
)


def machine_report(share: Share, environ: Mapping[str, str]) -> dict[str, Any]:
    """The machine, what of it was divided, versions of what runs there, the thread settings of the user."""
    memory = share.allowance.memory
    return {
        "topology": pack_topology(share.topology),
        "allowed": format_list(share.allowance.pus),
        "memory_mib": None if memory is None else memory.mib,
        "versions": dict(versions()),
        "kept": thread_variables(1, environ).kept,
    }


def versions() -> Iterator[tuple[str, str]]:
    """Of Python, the system and those packages that matter for a search and are installed; none is loaded."""
    yield "Python", platform.python_version()
    yield "system", platform.platform()
    for name in (*_PACKAGES, "tensorflow-cpu"):
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def host_record(host: str, data: Mapping[str, Any]) -> HostRecord | None:
    """What :func:`machine_report` has told; None where it is not understood, as of another version."""
    try:
        return HostRecord(
            host=host,
            topology=unpack_topology(data["topology"]),
            allowed=tuple(parse_list(data["allowed"])),
            memory_mib=data["memory_mib"],
            versions=dict(data["versions"]),
            kept=dict(data["kept"]),
        )
    except (KeyError, ValueError, TypeError, IndexError, AttributeError):
        return None
