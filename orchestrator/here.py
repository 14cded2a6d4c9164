"""The last run of a folder: a folder in; the storage and the study of the run that was at work last out.

What ``nano-hpo status`` and its like read where nobody names a storage.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import SpecError
from orchestrator.paths import RUNS_FOLDER, RunPaths, numbered_runs, study_folder
from orchestrator.storage_url import masked, sqlite_url

_NAME_IT = "name the storage: --storage URL, or the environment variable NANO_HPO_STORAGE"


@dataclass(frozen=True, slots=True)
class RunHere:
    """A run of the folder, and where its study is."""

    root: Path
    study_name: str
    url: str


def last_run(folder: Path, study_name: str | None = None) -> RunHere:
    """The run below ``folder`` that was at work last, of any study or of that one.

    Raises ``SpecError`` when there is none, or when its storage is known without its password alone.
    """
    roots = _roots(folder, study_name)
    if not roots:
        of = f" of study '{study_name}'" if study_name is not None else ""
        raise SpecError(f"No run{of} was begun in {folder}; {_NAME_IT}.")
    root = max(roots, key=_last_touched)
    written = _written(root)
    return RunHere(root, written["spec"]["study_name"], _url(root, written))


def embedded_url(root: Path) -> str | None:
    """The run's own SQLite file, where it has one; where it is at work if that is on this machine."""
    embedded = _written(root).get("embedded")
    return sqlite_url(_at_work(root / embedded)) if embedded else None


def _roots(folder: Path, study_name: str | None) -> list[Path]:
    """The directories of runs that were begun."""
    if study_name is not None:
        return numbered_runs(study_folder(study_name, folder))
    parent = folder / RUNS_FOLDER
    studies = [path for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
    return [root for study in studies for root in numbered_runs(study)]


def _last_touched(root: Path) -> float:
    paths = RunPaths(root)
    files = (paths.spec, paths.database, paths.summary, *paths.logs.glob("*.log"))
    return max(file.stat().st_mtime for file in files if file.exists())


def _written(root: Path) -> dict[str, Any]:
    try:
        written: dict[str, Any] = json.loads(RunPaths(root).spec.read_text(encoding="utf-8"))
        written["spec"]["study_name"], written["storage"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpecError(f"{RunPaths(root).spec} cannot be read ({error}); {_NAME_IT}.") from None
    return written


def _url(root: Path, written: dict[str, Any]) -> str:
    url = embedded_url(root) or str(written["storage"])
    if "***" in masked(url):
        raise SpecError(f"The last run here is in {masked(url)}, and its password is not kept; {_NAME_IT}.")
    return url


def _at_work(home: Path) -> Path:
    """A file on a network file system is at work on a node's own disk, perhaps on this one's."""
    from orchestrator.scratch.study_file import marker_of

    found = marker_of(home).read()
    is_here = found is not None and found.process.is_here() and found.process.is_alive()
    return found.file if found is not None and is_here and found.file.exists() else home
