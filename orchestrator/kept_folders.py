"""Folders of finished trials (``--keep-top K``): a run in; folders of all but the best trials removed.

Looked at is what is on the disk: ``trials/trial-00012`` and its like in the run directory. A folder goes when
this run has finished its trial, complete or pruned, and the trial is not among the K best of the study (with
several objectives: not on the Pareto front). So it stays while the trial runs or waits, when the trial failed
(it may tell why), when another trial that is not done says that the folder is its own, and when the trial is
that of another run. A removal that was cut off is done again at the next look: nothing is remembered.

Rank 0 looks every minute, the last agent once more when all trials are over.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa

from orchestrator.run_handle import RunHandle
from orchestrator.storage.kept import among_the_best, claimed_folders, done_with
from orchestrator.trial_folder import FOLDER, FOLDERS, number_of_folder

_LOOK_S = 60.0


def spare_folders(run: RunHandle, run_dir: Path, keep_top: int) -> list[Path]:
    """The folders of a run that need not stay. Removes nothing."""
    found = _folders_by_number(run_dir / FOLDERS)
    if not found:
        return []

    def work(c: sa.Connection) -> tuple[set[int], set[str]]:
        done = done_with(c, run.run_id, run.study_id, found)
        best = among_the_best(c, run.study_id, done, keep_top)
        return done - best, claimed_folders(c, run.study_id, FOLDER)

    spare, claimed = run.database.read(work)
    return [path for number in sorted(spare) for path in found[number] if path.name not in claimed]


def remove_spare_folders(run: RunHandle, run_dir: Path, keep_top: int, note: Callable[[str], None]) -> None:
    """Remove the folders that need not stay, now that no trial of the run is at work, and say so."""
    spare = spare_folders(run, run_dir, keep_top)
    if errors := list(remove(spare)):
        note(f"{len(errors)} folders of finished trials cannot be removed; the first: {errors[0]}.")


def remove(folders: Iterable[Path]) -> Iterable[str]:
    """Remove folders with all they hold; a line for each that stays."""
    for folder in folders:
        while folder.is_dir():
            try:
                shutil.rmtree(folder)
            except FileNotFoundError:  # somebody else is at it, and maybe not to the end
                continue
            except OSError as error:
                yield f"{folder} ({error.strerror})"
                break


class KeptFolders:
    """Looks after the folders of a run while it is at work. A removal never holds up the agent's loop."""

    def __init__(self, run_dir: Path, keep_top: int, note: Callable[[str], None]) -> None:
        self._run_dir, self._keep_top, self._note = run_dir, keep_top, note
        self._seen: set[Path] = set()  # spare at the last look: a callback may still be at work in them
        self._look_at_s = time.monotonic() + _LOOK_S
        self._remover: threading.Thread | None = None
        self._has_noted = False

    @property
    def is_due(self) -> bool:
        """Whether it is time for a look, and the last removal is over."""
        is_busy = self._remover is not None and self._remover.is_alive()
        return time.monotonic() >= self._look_at_s and not is_busy

    def look(self, run: RunHandle) -> None:
        """Begin to remove what was spare at the last look already."""
        self._look_at_s = time.monotonic() + _LOOK_S
        spare = set(spare_folders(run, self._run_dir, self._keep_top))
        again, self._seen = sorted(spare & self._seen), spare
        if again:
            self._remover = threading.Thread(target=self._remove, args=(again,), daemon=True)
            self._remover.start()

    def _remove(self, folders: list[Path]) -> None:
        for error in remove(folders):
            if not self._has_noted:
                self._has_noted = True
                self._note(f"A folder of a finished trial cannot be removed: {error}.")


def _folders_by_number(parent: Path) -> dict[int, list[Path]]:
    """The folders of trials; links lead to what is not ours. A file system that is away has none for now."""
    found: dict[int, list[Path]] = {}
    with suppress(OSError):
        for path in sorted(parent.iterdir()):
            number = number_of_folder(path.name)
            if number is not None and path.is_dir() and not path.is_symlink():
                found.setdefault(number, []).append(path)
    return found
