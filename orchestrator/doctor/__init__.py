"""``nano-hpo doctor``: what a run needs, looked at in order; a storage in, checks out."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.doctor.check import Check, Verdict, as_json, render
from orchestrator.doctor.machine import machine_checks
from orchestrator.doctor.software import software_checks
from orchestrator.doctor.storage import storage_checks

__all__ = ["Check", "Verdict", "as_json", "examine", "render"]


def examine(url: str | None) -> Iterator[Check]:
    """Look at software, machine and, where one is named, the storage. Creates nothing."""
    yield from software_checks(url)
    yield from machine_checks()
    if url is not None:
        yield from storage_checks(url)
