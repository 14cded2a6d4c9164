"""Every file name of a run: a run directory in, paths out."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import RunDirError

RUNS_FOLDER = "nano-hpo-runs"
_RUN_NAME = re.compile(r"run-(\d{3,})")


@dataclass(frozen=True, slots=True)
class RunPaths:
    """The files of one run, all below ``root``."""

    root: Path

    @property
    def spec(self) -> Path:
        """The run's settings and identity, without secrets."""
        return self.root / "run.json"

    @property
    def database(self) -> Path:
        """The embedded SQLite storage, when no other was named."""
        return self.root / "study.db"

    @property
    def objective(self) -> Path:
        """The pickled objective, readable by its owner alone."""
        return self.root / "objective.pkl"

    @property
    def logs(self) -> Path:
        """The folder of the workers' logs."""
        return self.root / "logs"

    def worker_log(self, rank: int, slot: int) -> Path:
        """What the workers of one slot printed, one after the other."""
        return self.logs / f"rank{rank}-slot{slot}.log"

    @property
    def summary(self) -> Path:
        """The summary as JSON."""
        return self.root / "summary.json"

    @property
    def trials_csv(self) -> Path:
        """The trials table as CSV."""
        return self.root / "trials.csv"

    @property
    def trials_json(self) -> Path:
        """The trials table as JSON."""
        return self.root / "trials.json"

    @property
    def plots(self) -> Path:
        """The folder of the plots as PNG."""
        return self.root / "plots"

    @property
    def report(self) -> Path:
        """The report: one HTML file."""
        return self.root / "report.html"

    def create(self) -> bool:
        """Make the folders of a run, private to its owner (they hold pickles); True if it was not there.

        Raises ``RunDirError`` when that is not possible.
        """
        is_new = not self.root.exists()
        self._make(self.logs)
        if is_new:
            self.root.chmod(0o700)
        return is_new

    def create_report_folder(self) -> None:
        """Make the folder alone, for a report from the storage."""
        self._make(self.root)

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise RunDirError(
                f"Run directory {self.root} is not writable ({error.strerror}); choose another --run-dir."
            ) from None


def study_folder(study_name: str, parent: Path) -> Path:
    """The folder that holds the runs of a study: its name with awkward characters replaced."""
    safe = re.sub(r"[^\w.-]+", "_", study_name).strip(".") or "study"
    return parent / RUNS_FOLDER / safe


def numbered_runs(folder: Path) -> list[Path]:
    """The folders ``run-001``, ``run-002`` … of a study, oldest first."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if _RUN_NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("run-")))


def next_run(folder: Path) -> Path:
    """The first folder name that is still free."""
    runs = numbered_runs(folder)
    last = int(runs[-1].name.removeprefix("run-")) if runs else 0
    return folder / f"run-{last + 1:03d}"


@contextmanager
def written_whole(path: Path, mode: int = 0o644) -> Iterator[Path]:
    """A temporary name beside ``path``, renamed over it when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, text: str, mode: int = 0o644) -> None:
    """Write text so that a reader sees the old file or the new one, never half of it."""
    with written_whole(path, mode) as temporary:
        temporary.write_text(text, encoding="utf-8")
