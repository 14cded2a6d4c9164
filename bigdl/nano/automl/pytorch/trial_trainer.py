"""The trainers of a trial: a recipe in; trainers of its own, which write in its own folder, out."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import optuna
import pytorch_lightning as pl
from pytorch_lightning.loggers.logger import DummyLogger

from bigdl.nano.pytorch.recipe import TrainerRecipe, with_own_environment

_UNASKED = {  # what a trainer does unasked and a trial does not
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}
_LOGGER_FOLDERS = ("_root_dir", "_save_dir")  # of Lightning's loggers that write files


def require_one_process(recipe: TrainerRecipe) -> None:
    """``ValueError`` for a trainer that would start processes: a trial is one."""
    for name, value in recipe.of_several_processes():
        raise ValueError(
            f"{name} is {value!r}: a trial of a search trains in one process; leave it out. n_parallels says "
            "how many trials run at a time."
        )


class TrialTrainer(pl.Trainer):  # type: ignore[misc]
    """The trainer of a trial: callbacks find the Optuna trial as ``trainer.trial``.

    It leaves signals to the search: Lightning would end the training as if it had failed.
    """

    def __init__(self, trial: optuna.Trial, **kwargs: Any) -> None:
        self.trial = trial
        super().__init__(**kwargs)

    @property
    def received_sigterm(self) -> bool:
        """Never."""
        return False


def make_trainer(
    recipe: TrainerRecipe,
    trial: optuna.Trial,
    folder: TrialFolder,
    max_epochs: int | None,
    ours: Sequence[pl.Callback],
) -> pl.Trainer:
    """A trainer for the training of a trial. ``ours`` are further callbacks, which come last."""
    given = dict(recipe.given)
    given["callbacks"] = [*copy.deepcopy(list(recipe.callbacks)), _Moved(folder)]
    given["logger"] = _loggers(given.get("logger"), folder)
    checkpoints = [one for one in given["callbacks"] if isinstance(one, pl.callbacks.Checkpoint)]
    given.setdefault("enable_checkpointing", bool(checkpoints))
    have_folders = bool(checkpoints) and all(getattr(one, "dirpath", None) for one in checkpoints)
    if given["enable_checkpointing"] and not have_folders:
        given.setdefault("default_root_dir", "lightning_logs")  # in memory; a run has a folder
    given = {**_UNASKED, **given, **_of_its_own(given, folder)}
    if max_epochs is not None:
        given["max_epochs"] = max_epochs
    keywords = recipe.arguments(given)
    return TrialTrainer(trial, **{**keywords, "callbacks": [*keywords["callbacks"], *ours]})


def make_evaluator(recipe: TrainerRecipe, trial: optuna.Trial, folder: TrialFolder) -> pl.Trainer:
    """A trainer that only validates, and leaves nothing behind."""
    names = ("accelerator", "precision", "plugins", "limit_val_batches", "inference_mode", "fast_dev_run")
    given = {name: recipe.given[name] for name in names if name in recipe.given}
    given |= {"logger": False, "enable_checkpointing": False}
    return TrialTrainer(trial, **recipe.arguments({**_UNASKED, **given, **_of_its_own(given, folder)}))


def _of_its_own(given: dict[str, Any], folder: TrialFolder) -> dict[str, Any]:
    """Its folder, one device, and an environment that takes it for no task of Slurm and no rank of MPI."""
    devices = given.get("devices")
    return {
        "devices": devices if isinstance(devices, list) else 1,  # "auto" would take every GPU
        "default_root_dir": folder.root(given.get("default_root_dir")),
        "plugins": with_own_environment(given.get("plugins")),
    }


class TrialFolder:
    """Where a trial's loggers and checkpoints write: in the run's directory, ``trials/trial-00012``.

    A folder is made when something asks for it, and never shared: when a trial is tried again there is
    another one (``trial-00012-2``). A search in memory has no directory: then it is ``trial-00012`` in the
    folder that was given to trainer, logger or checkpoint; None where none was.
    """

    def __init__(self, run_dir: Path | None, number: int) -> None:
        self._run_dir, self._number = run_dir, number
        self._made: dict[Path, Path] = {}

    def root(self, given: Any) -> str | None:
        """In place of ``default_root_dir``."""
        base = self._run_dir / "trials" if self._run_dir is not None else given and Path(given)
        return str(self._within(base)) if base else None

    def inside(self, given: Any, name: str) -> str:
        """In place of the folder of a logger or a checkpoint: ``name`` in that of the trial."""
        if self._run_dir is not None:
            return str(self._within(self._run_dir / "trials") / name)
        return str(self._within(Path(given)))

    def _within(self, base: Path) -> Path:
        if base not in self._made:
            self._made[base] = _new_folder(base / f"trial-{self._number:05d}")
        return self._made[base]

    def remove_empty(self) -> None:
        """At the end of a trial: a folder in which nothing was written goes."""
        for folder in self._made.values():
            try:
                folder.rmdir()
            except OSError:  # something was
                continue


def _new_folder(path: Path) -> Path:
    attempt = 1
    while True:
        name = path if attempt == 1 else path.with_name(f"{path.name}-{attempt}")
        try:
            name.mkdir(parents=True)
        except FileExistsError:
            attempt += 1
        else:
            return name


def _loggers(given: Any, folder: TrialFolder) -> Any:
    """Loggers of the trial's own; unasked, one that writes metrics.csv where a run has a directory."""
    if given is None or given is True:
        root = folder.root(None)
        if root is not None:
            return _default_logger()(root, name="", version="")
        return DummyLogger() if given is None else True
    if given is False:
        return False
    several = given if isinstance(given, Sequence) else [given]
    return [_moved_logger(copy.deepcopy(one), folder) for one in several]


def _moved_logger(logger: Any, folder: TrialFolder) -> Any:
    """With its files in the trial's folder; loggers that write to a server stay as they are."""
    for name in _LOGGER_FOLDERS:
        where = getattr(logger, name, None)
        if where is not None:
            setattr(logger, name, folder.inside(where, Path(where).name))
    return logger


def _default_logger() -> Any:
    """The one that Lightning would take: a module may call its ``experiment``."""
    has_tensorboard = find_spec("tensorboard") is not None or find_spec("tensorboardX") is not None
    return pl.loggers.TensorBoardLogger if has_tensorboard else pl.loggers.CSVLogger


class _Moved(pl.Callback):  # type: ignore[misc]
    """Moves the files of checkpoints to the trial's folder, also of those that the model brings.

    Checkpoints come after all other callbacks. Without a folder of its own a checkpoint is there in any case.
    """

    def __init__(self, folder: TrialFolder) -> None:
        self._folder = folder

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Before checkpoints look at their folders."""
        for callback in trainer.checkpoint_callbacks:
            where = getattr(callback, "dirpath", None)
            if where is not None:
                callback.dirpath = self._folder.inside(where, Path(where).name)
