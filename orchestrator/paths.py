"""Every file name of a run: a run directory in, paths out."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import RunDirError

RUNS_FOLDER = "nano-hpo-runs"
RUN_DIR = "--run-dir (run_dir=DIR)"  # how people choose one, on the command line and from Python
_MAX_NAME = 120  # bytes of a study's folder name; file systems take 255
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
    def lock(self) -> Path:
        """Locked while a run begins here, and gone afterwards."""
        return self.root / ".beginning"

    @property
    def database(self) -> Path:
        """The embedded SQLite storage, when no other was named."""
        return self.root / "study.db"

    def objective(self, agent: str = "") -> Path:
        """The pickled objective of an agent, readable by its owner alone; of the only one without a name."""
        return self.root / f"objective{agent and '-'}{agent}.pkl"

    @property
    def arrays(self) -> Path:
        """The folder of the objective's large arrays, while the run is at work and its disk is local."""
        return self.root / "arrays"

    def tools(self, agent: str = "") -> Path:
        """The pickled sampler, pruner and callbacks of an agent, readable by their owner alone."""
        return self.root / f"tools{agent and '-'}{agent}.pkl"

    @property
    def relay(self) -> Path:
        """Where rank 0 lends the database to the other ranks, while it does; readable by its owner alone."""
        return self.root / "relay.json"

    @property
    def logs(self) -> Path:
        """The folder of the workers' logs."""
        return self.root / "logs"

    def worker_log(self, rank: int, slot: int, job: str | None = None) -> Path:
        """What the workers of one slot printed, one after the other; ``job`` is the agent's, if any."""
        return self.logs / log_name(rank, slot, job)

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

    @property
    def markdown(self) -> Path:
        """The tables of the report as Markdown."""
        return self.root / "report.md"

    def create(self) -> list[Path]:
        """Make the folders of a run, private to its owner (they hold pickles).

        Returns those that were not there, the outermost first. Raises ``RunDirError``, leaving nothing
        behind, when that is not possible.
        """
        made = self._make(self.logs)
        if self.root in made:
            self.root.chmod(0o700)
        return made

    def create_report_folder(self) -> None:
        """Make the folder alone, for a report from the storage."""
        self._make(self.root)

    def _make(self, folder: Path) -> list[Path]:
        made: list[Path] = []
        try:
            for path in reversed([folder, *folder.parents]):
                if not path.is_dir():
                    made += _made(path)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            remove_folders(made)
            raise RunDirError(
                f"Run directory {self.root} is not writable ({error.strerror}); choose another {RUN_DIR}."
            ) from None
        return made

    def remove(self, made: Sequence[Path]) -> None:
        """Take back what :meth:`create` made; the run's folder with all its content if it was among it."""
        if self.root in made:
            shutil.rmtree(self.root, ignore_errors=True)
        remove_folders(made)


@dataclass(frozen=True, slots=True)
class JobPaths:
    """The files of the Slurm jobs that were submitted from a folder, all below ``root``."""

    root: Path

    @classmethod
    def of_folder(cls, folder: Path) -> JobPaths:
        """Those of the folder that jobs are submitted from."""
        return cls(folder / RUNS_FOLDER / "jobs")

    def record(self, job_id: str) -> Path:
        """What is known of a job, without secrets, readable by its owner alone."""
        return self.root / f"{job_id}.json"

    def new_script(self) -> Path:
        """The script of a job that has no id yet."""
        return self.root / f"new-{os.getpid()}.sbatch"

    def script(self, job_id: str) -> Path:
        """The script of a job, as it was handed to Slurm."""
        return self.root / f"{job_id}.sbatch"

    def records(self) -> list[Path]:
        """The records that are there."""
        return sorted(path for path in self.root.glob("*.json") if path.stem.isdigit())


def log_name(rank: int, slot: int, job: str | None) -> str:
    """The log of one slot. Several jobs may work on a run, each with a rank 0."""
    return f"{f'job{job}-' if job else ''}rank{rank}-slot{slot}.log"


def _made(path: Path) -> list[Path]:
    """Make one folder: it alone, or nothing when somebody was quicker."""
    try:
        path.mkdir()
    except FileExistsError:
        return []
    return [path]


def remove_folders(made: Sequence[Path]) -> None:
    """Remove folders that are empty, the innermost first."""
    for path in reversed(made):
        try:
            path.rmdir()
        except FileNotFoundError:
            continue
        except OSError:  # somebody uses it
            return


def study_folder(study_name: str, parent: Path) -> Path:
    """The folder that holds the runs of a study."""
    return parent / RUNS_FOLDER / safe_name(study_name)


def safe_name(study_name: str) -> str:
    """A study's name as that of a file or folder: awkward characters replaced. Two names may become one."""
    safe = re.sub(r"[^\w.-]+", "_", study_name).strip(".") or "study"
    if len(safe.encode()) > _MAX_NAME:
        digest = hashlib.sha256(study_name.encode()).hexdigest()[:12]
        safe = f"{safe.encode()[:_MAX_NAME].decode(errors='ignore')}-{digest}"
    return safe


def numbered_runs(folder: Path) -> list[Path]:
    """The runs ``run-001``, ``run-002`` … of a study that were begun, oldest first."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if _RUN_NAME.fullmatch(path.name)]
    begun = [path for path in found if RunPaths(path).spec.exists()]
    return sorted(begun, key=lambda path: int(path.name.removeprefix("run-")))


def next_run(folder: Path) -> Path:
    """The folder after the last run that was begun."""
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
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
