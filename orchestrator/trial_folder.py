"""A folder that follows a trial through its attempts: a trial in, a path and the last checkpoint out.

An objective that may be cut off writes there what it needs to go on, says so, and looks there first::

    folder = trial_dir(trial)
    done = last_checkpoint(trial)                      # None: from the start
    for epoch in range(0 if done is None else done + 1, 20):
        ...
        trial.report(loss, epoch)
        torch.save(state, folder / "new"); (folder / "new").replace(folder / "state")
        mark_checkpoint(trial, epoch)

A trial that is given back (its worker, its node or the whole job has gone) keeps the intermediate values up
to the step that was marked, and loses the later ones: the next attempt reports them again.
"""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.storage.attempts import CHECKPOINT

if TYPE_CHECKING:
    from optuna import Trial

FOLDER = "nano:trial_dir"  # system attribute of a trial: where its folder is, once it has one

FOLDERS = "trials"  # in the run directory, with a folder for each trial that asks for one

_NAME = re.compile(r"trial-(\d{5,9})(?:-\d+)?")
_scratch: list[Path] = []  # one folder, for those of all trials in memory


def trial_dir(trial: Trial) -> Path:
    """The trial's own folder, made if it is missing: the same one at every attempt, on any node.

    It is ``trials/trial-00012`` in the run directory, which nodes of a cluster share; a trial that a later
    run takes up keeps the folder that it has. For a search in memory, where nothing is tried again, it is a
    temporary folder that goes with the process. Nothing in it is deleted here; ``--keep-top`` removes folders
    of finished trials (``orchestrator.kept_folders``).

    Where the folder that it had is not to be found (the study was copied, or lay on the disk of a node), it
    gets a new one, and its checkpoint is forgotten. Raises ``OSError`` when it cannot be made.
    """
    known = _attributes(trial).get(FOLDER)
    if known is not None and Path(known).is_dir():
        return Path(known)
    if known is not None:
        _set(trial, CHECKPOINT, None)
    run_dir: Path | None = getattr(trial.study, "run_dir", None)
    name = folder_name(trial.number)
    if run_dir is None:
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=_temporary()))
    else:
        folder = run_dir.absolute() / FOLDERS / name
        folder.mkdir(parents=True, exist_ok=True)
    _set(trial, FOLDER, str(folder))
    return folder


def folder_name(number: int) -> str:
    """The name of a trial's folder; what else is written for the trial there may add ``-2`` and so on."""
    return f"trial-{number:05d}"


def number_of_folder(name: str) -> int | None:
    """The number of the trial whose folder is named so; None: it is no trial's."""
    found = _NAME.fullmatch(name)
    return int(found[1]) if found else None


def mark_checkpoint(trial: Trial, step: int) -> None:
    """Say that what lies in :func:`trial_dir` holds all up to and including ``step``, a step of ``report``.

    Call it when the file is complete (written beside and renamed): from here on nothing before is done again.
    """
    _set(trial, CHECKPOINT, int(step))


def last_checkpoint(trial: Trial) -> int | None:
    """The step that :func:`mark_checkpoint` was told last, by this attempt or one before.

    None: it was told none, or the folder with what was kept is not to be found.
    """
    known = _attributes(trial)
    is_there = FOLDER not in known or Path(known[FOLDER]).is_dir()
    return known.get(CHECKPOINT) if is_there else None


def _attributes(trial: Trial) -> dict[str, Any]:
    return trial.storage.get_trial_system_attrs(trial._trial_id)


def _set(trial: Trial, key: str, value: Any) -> None:
    trial.storage.set_trial_system_attr(trial._trial_id, key, value)


def _temporary() -> Path:
    if not _scratch:
        _scratch.append(Path(tempfile.mkdtemp(prefix="nano-hpo-")))
        atexit.register(shutil.rmtree, _scratch[0], ignore_errors=True)
    return _scratch[0]
