"""Which versions are at work: names of packages in, their versions out; none is imported for it."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

RECORDED = ("nano-hpo", "optuna")  # with each run: what draws and prunes its trials
_AT_WORK = (
    *RECORDED,
    "numpy",
    "scikit-learn",
    "torch",
    "pytorch-lightning",
    "keras",
    "tensorflow",
    "tensorflow-cpu",
)
_NONE = "not installed"


@cache  # a millisecond each, and a program may make many searches
def version_of(package: str) -> str | None:
    """The version that is installed; None where none is."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def recorded_versions() -> dict[str, str]:
    """Those that are kept with a run; words say which is missing."""
    return {package: version_of(package) or _NONE for package in RECORDED}


def versions_of_report() -> dict[str, str]:
    """Of what makes a report."""
    return {**recorded_versions(), "Python": platform.python_version(), "platform": platform.platform()}


def versions_at_work() -> dict[str, str]:
    """Of Python, the system and those packages that matter for a search and are installed."""
    found = {package: number for package in _AT_WORK if (number := version_of(package)) is not None}
    return {"Python": platform.python_version(), "system": platform.platform(), **found}
