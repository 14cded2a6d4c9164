"""Which versions are at work: names of installed packages in, their versions out."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

RECORDED = ("nano-hpo", "optuna")  # with each run: what draws and prunes its trials


def version_of(package: str) -> str:
    """The version that is installed, or words that say that none is."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def recorded_versions() -> dict[str, str]:
    """Those that are kept with a run."""
    return {package: version_of(package) for package in RECORDED}
