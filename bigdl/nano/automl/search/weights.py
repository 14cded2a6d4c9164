"""The weights of the best trials: kept as files beside the run while it goes, found again afterwards."""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

FOLDER = "weights"
_IDENTITY = "trial"


class TemporaryFolder:
    """A folder that is made when it is asked for, and removed with this object. It does not travel."""

    @cached_property
    def path(self) -> Path:
        """The folder."""
        path = Path(tempfile.mkdtemp(prefix="nano-hpo-weights-"))
        weakref.finalize(self, shutil.rmtree, path, True)
        return path

    def __reduce__(self) -> tuple[Any, ...]:
        return TemporaryFolder, ()


def keep_if_best(folder: Path, trial: optuna.Trial, values: Sequence[float], weights: Sequence[Any]) -> None:
    """Store the weights of a trial unless a finished one is better, and remove those that are beaten.

    Called before the trial's values are told: those of other running trials are left alone.
    """
    front = _best_trials(trial.study)
    if any(_dominates(other.values, values, trial.study.directions) for other in front):
        return
    _write(folder / file_name(trial.number), trial, values, weights)
    running = {one.number for one in trial.study.get_trials(deepcopy=False) if not one.state.is_finished()}
    front = _best_trials(trial.study)  # again, and later: who was running and has ended is in one of the two
    keep = {file_name(number) for number in (*running, *(one.number for one in front))}
    _remove_others(folder, keep)


def remove_beaten(folder: Path, study: optuna.Study) -> None:
    """When a search is over: leave the weights of the best trials alone."""
    _remove_others(folder, {file_name(one.number) for one in _best_trials(study)})


def load(folders: Iterable[Path], trial: FrozenTrial) -> list[Any] | None:
    """The weights kept of a trial; None when there are none. A file of another study's trial is not taken."""
    for folder in folders:
        path = folder / file_name(trial.number)
        if path.is_file():
            with np.load(path, allow_pickle=False) as stored:
                if str(stored[_IDENTITY]) == _identity(trial.params, trial.values):
                    return [stored[f"weight_{i}"] for i in range(len(stored.files) - 1)]
    return None


def file_name(number: int) -> str:
    """``trial-00012.npz``."""
    return f"trial-{number:05d}.npz"


def _write(path: Path, trial: optuna.Trial, values: Sequence[float], weights: Sequence[Any]) -> None:
    from orchestrator.paths import written_whole

    identity = np.array(_identity(trial.params, values))
    with written_whole(path) as temporary, temporary.open("wb") as file:
        arrays: dict[str, Any] = {f"weight_{i}": one for i, one in enumerate(weights)}
        np.savez(file, allow_pickle=False, **{_IDENTITY: identity, **arrays})


def _identity(params: Any, values: Sequence[float] | None) -> str:
    return json.dumps([params, [float(value) for value in values or ()]], sort_keys=True, default=repr)


def _remove_others(folder: Path, keep: set[str]) -> None:
    for path in folder.glob("trial-*.npz"):
        if path.name not in keep:
            path.unlink(missing_ok=True)


def _best_trials(study: optuna.Study) -> list[FrozenTrial]:
    if len(study.directions) > 1:
        return list(study.best_trials)
    try:
        return [study.best_trial]
    except ValueError:  # none is complete
        return []


def _dominates(one: Sequence[float], other: Sequence[float], directions: Sequence[Any]) -> bool:
    """Whether ``one`` is better somewhere and worse nowhere."""
    signs = [1 if way.name == "MINIMIZE" else -1 for way in directions]
    gaps = [sign * (a - b) for sign, a, b in zip(signs, one, other, strict=True)]
    return all(gap <= 0 for gap in gaps) and any(gap < 0 for gap in gaps)
