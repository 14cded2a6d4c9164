"""The checkpoint of a trial in training: one file in its folder, which outlives attempts but not the trial.

It is written after each epoch under another name and renamed, then marked in the study: a reader finds the
last epoch that was written, never half of one. Both halves write zip files, whose checksums tell what is
damaged.
"""

from __future__ import annotations

import logging
import random
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from orchestrator.paths import written_whole
from orchestrator.sql.failures import is_storage_failure
from orchestrator.storage.attempts import StaleAttempt
from orchestrator.trial_folder import FOLDER, mark_checkpoint, trial_dir

if TYPE_CHECKING:
    import optuna

    from orchestrator import Summary

T = TypeVar("T")

NAME = "checkpoint"

log = logging.getLogger("nano_hpo")


class NotRestored(Exception):
    """A checkpoint does not fit the training that is to go on, as after a change of the model's code."""


class Checkpoint:
    """The checkpoint of one trial."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial
        self._has_warned = False

    def found(self) -> Path | None:
        """What an earlier attempt has left; None where there is nothing, or nothing whole, which is said."""
        folder = self._folder()
        if folder is None or not (folder / NAME).exists():
            return None
        if not _is_whole(folder / NAME):
            self.refuse("it is damaged")
            return None
        return folder / NAME

    def refuse(self, reason: object) -> None:
        """Say that the checkpoint is of no use."""
        log.warning(
            "Trial %d: its checkpoint cannot be used (%s); it starts again from its first epoch.",
            self._trial.number,
            " ".join(str(reason).split())[:300],
        )

    def write(self, save: Callable[[Path], None], step: int) -> None:
        """Let ``save`` write a file that holds all up to ``step``, and mark it.

        Where that fails, on a full disk say, the one before stays, and the first time a line says why.
        """
        try:
            with written_whole(trial_dir(self._trial) / NAME, mode=0o600) as temporary:
                save(temporary)
        except Exception as error:
            if _is_of_the_storage(error):
                raise
            self._warn(error)
        else:
            mark_checkpoint(self._trial, step)

    def _warn(self, error: Exception) -> None:
        if not self._has_warned:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            log.warning("Trial %d goes on without a new checkpoint (%s).", self._trial.number, reason)
        self._has_warned = True

    def remove(self) -> None:
        """The trial is over."""
        folder = self._folder()
        if folder is not None:
            _remove(folder)

    def _folder(self) -> Path | None:
        """The trial's folder, if it has one: none is made for a look."""
        known = self._trial.storage.get_trial_system_attrs(self._trial._trial_id).get(FOLDER)
        return Path(known) if known is not None else None


@contextmanager
def checkpoint_of(trial: optuna.Trial, is_asked: bool) -> Iterator[Checkpoint | None]:
    """The trial's checkpoint, which is removed at its end: complete, pruned, or failed by its own fault.

    It stays when the worker is ended, or its attempt is no longer ours. None where it was not asked for, and
    for a search in memory, which tries nothing again.
    """
    if not is_asked or trial.study.run_dir is None:  # type: ignore[attr-defined]
        yield None
        return
    checkpoint = Checkpoint(trial)
    try:
        yield checkpoint
    except (Exception, SystemExit) as error:
        if not _is_of_the_storage(error):
            checkpoint.remove()
        raise
    checkpoint.remove()


def continued(checkpoint: Checkpoint | None, train: Callable[[Path | None], T]) -> T:
    """What ``train`` gives: called with the file to go on from, and without one where that does not fit."""
    begun = checkpoint.found() if checkpoint is not None else None
    if checkpoint is None or begun is None:
        return train(None)
    try:
        return train(begun)
    except NotRestored as error:
        checkpoint.refuse(error)
    return train(None)


def later_seed(n_epochs: int) -> int:
    """A seed for what comes after so many epochs: the trial's own, and not the one that it began with."""
    return random.Random(f"{random.getrandbits(64)} {n_epochs}").getrandbits(32)


def remove_leftovers(summary: Summary) -> None:
    """When a search is over: the files of trials that were ended from outside, as after their last retry."""
    run_dir = summary.run_dir
    if run_dir is None:
        return
    pattern = f"trials/*/{NAME}"
    files = {path.absolute() for path in (*run_dir.glob(pattern), *run_dir.parent.glob(f"run-*/{pattern}"))}
    if files:
        over = {trial.system_attrs.get(FOLDER) for trial in summary.trials if trial.state.is_finished()}
        for path in files:
            if str(path.parent) in over:
                _remove(path.parent)
    with suppress(OSError):  # it holds something, or was never there
        (run_dir / "trials").rmdir()


def _remove(folder: Path) -> None:
    """The file, what a killed worker has left of the next one, and the folder if it is empty then."""
    with suppress(OSError):
        for path in (folder / NAME, *folder.glob(f".{NAME}.*.tmp")):
            path.unlink(missing_ok=True)
        folder.rmdir()


def _is_whole(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() is None
    except Exception:  # zipfile raises what it comes across
        return False


def _is_of_the_storage(error: Any) -> bool:
    """Whether the trial is not to blame, and will be tried again."""
    return is_storage_failure(error) or isinstance(error, StaleAttempt)
