"""Checkpoints of a Lightning training: a trainer between two epochs in; a file of Lightning's out, and back.

Lightning carries weights, optimizers, schedulers, loops and the state of callbacks; what is followed of the
trial goes into the same file. Attributes that models and callbacks keep out of their state begin anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO

from bigdl.nano.automl.pytorch.watching import Watch
from bigdl.nano.automl.search.checkpoints import Checkpoint, NotRestored, later_seed
from bigdl.nano.automl.search.following import Following
from orchestrator.sampling.streams import seed_libraries

_KEY = "nano_hpo"  # of what is ours in the file


class Checkpoints(pl.Callback):  # type: ignore[misc]
    """Writes a checkpoint after each epoch, and takes one up."""

    def __init__(self, checkpoint: Checkpoint, watch: Watch) -> None:
        super().__init__()
        self._checkpoint, self._watch = checkpoint, watch
        self._theirs: Any = None  # what writes the user's own checkpoints, while a file is ours
        self._state: Mapping[str, Any] | None = None  # that was read and not taken up yet
        self._has_started = False

    def fit(self, trainer: Any, module: Any, data: Mapping[str, Any], begun: Path | None) -> None:
        """``trainer.fit``, from the file ``begun`` on; :class:`NotRestored` where that does not fit."""
        self._call_after_epochs(trainer)
        if begun is None:
            trainer.fit(module, **data)
            return
        self._use_our_files(trainer)
        try:
            trainer.fit(module, **data, ckpt_path=str(begun))
        except Exception as error:
            if self._has_started:
                raise
            raise NotRestored(f"{type(error).__name__}: {error}") from error
        self._take_up()  # where there was nothing left to train

    def _call_after_epochs(self, trainer: Any) -> None:
        """The last hook of an epoch comes before schedulers have stepped and the loop has counted it."""
        loop = trainer.fit_loop
        ended = loop.on_advance_end

        def on_advance_end() -> None:
            ended()
            self._epoch_is_over(trainer)

        loop.on_advance_end = on_advance_end

    def _epoch_is_over(self, trainer: Any) -> None:
        self._watch.logged_late(trainer)
        self._checkpoint.write(lambda path: self._save(trainer, path), len(self._followed.logs) - 1)

    @property
    def _followed(self) -> Following:
        return self._watch.followed

    # Save

    def _save(self, trainer: Any, path: Path) -> None:
        self._use_our_files(trainer)
        try:
            trainer.save_checkpoint(str(path))
        finally:
            self._use_their_files(trainer)

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """What Lightning does not know; the user's own checkpoints are as they would be without us."""
        if self._theirs is not None:
            checkpoint[_KEY] = {
                "followed": self._followed.state(),
                "n_validations": self._watch.n_validations,
                "is_stopped": trainer.should_stop,
            }

    def _use_our_files(self, trainer: Any) -> None:
        self._theirs, trainer.strategy.checkpoint_io = trainer.strategy.checkpoint_io, _OurFiles()

    def _use_their_files(self, trainer: Any) -> None:
        trainer.strategy.checkpoint_io, self._theirs = self._theirs, None

    # Restore

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """The file is read, and callbacks are about to get their states."""
        self._use_their_files(trainer)
        self._state = checkpoint[_KEY]
        for callback in trainer.checkpoint_callbacks:  # they go on in the folder of the first attempt
            where = checkpoint["callbacks"].get(callback.state_key, {}).get("dirpath")
            if where is not None:
                callback.dirpath = where
        trainer.should_stop = self._state["is_stopped"]
        seed_libraries(later_seed(self._state["followed"]["n_epochs"]))  # before anything is shuffled

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """All is restored. With ``max_steps`` Lightning takes it for a restart in the middle of an epoch."""
        self._has_started = True
        if self._state is not None:
            trainer.fit_loop._restarting = False
            trainer.fit_loop.epoch_loop.restarting = False
            self._take_up()

    def _take_up(self) -> None:
        if self._state is not None:
            self._followed.restore(self._state["followed"])
            self._watch.n_validations = self._state["n_validations"]
            self._state = None


class _OurFiles(TorchCheckpointIO):  # type: ignore[misc]
    """Written where they belong (Lightning's own way leads through the folder for temporary files)."""

    def save_checkpoint(self, checkpoint: Any, path: Any, storage_options: Any = None) -> None:
        """In torch's format."""
        torch.save(checkpoint, path)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: Any = None) -> Any:
        """Whatever is in it: the file is in the run's directory, which is its owner's alone."""
        return torch.load(path, map_location="cpu", weights_only=False)
