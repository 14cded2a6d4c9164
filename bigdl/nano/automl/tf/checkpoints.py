"""Checkpoints of a Keras training: model, optimizers, callbacks, what is followed in; a file out, and back.

The model is built anew by its recipe, and only its numbers are stored: nothing of the user's needs to be
serialised. They are those of all variables (weights, optimizers with iterations and learning rate, seeds of
layers), and what Keras's own callbacks count. Other attributes of models and callbacks begin anew.
"""

from __future__ import annotations

import pickle
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from bigdl.nano.automl.search.checkpoints import Checkpoint, NotRestored, later_seed
from bigdl.nano.automl.search.following import Following

_MEMBER = "training"  # of the zip file
_COUNTED = {  # what callbacks of Keras know of the epochs before, and set anew when a training begins
    keras.callbacks.EarlyStopping: ("wait", "stopped_epoch", "best", "best_epoch", "best_weights"),
    keras.callbacks.ReduceLROnPlateau: ("wait", "cooldown_counter", "best"),
    keras.callbacks.ModelCheckpoint: ("best",),
}


class Checkpoints(keras.callbacks.Callback):  # type: ignore[misc]
    """Writes a checkpoint after each epoch. It comes last: ``callbacks``, the user's, have had their turn."""

    def __init__(self, checkpoint: Checkpoint, followed: Following, callbacks: Sequence[Any]) -> None:
        super().__init__()
        self._checkpoint, self._followed, self._callbacks = checkpoint, followed, callbacks
        self._counts: Sequence[Mapping[str, Any]] = ()  # to be given back to the callbacks

    def restore(self, begun: Path, model: Any, sample: Mapping[str, Any] | None) -> int:
        """Bring a model that was just compiled to where the file is; the epoch to go on with.

        ``sample`` are arguments of ``fit``, for models whose variables are made by a first step. Raises
        :class:`NotRestored`.
        """
        try:
            state = _load(begun)
            _assign(model, state["variables"], sample)
        except Exception as error:
            raise NotRestored(f"{type(error).__name__}: {error}") from error
        self._followed.restore(state["followed"])
        self._counts = state["counts"]
        keras.utils.set_random_seed(later_seed(self._followed.n_epochs))
        return sys.maxsize if state["is_stopped"] else state["epoch"] + 1

    def on_train_begin(self, logs: Any = None) -> None:
        """The user's callbacks have begun anew."""
        for callback, counts in zip(self._callbacks, self._counts, strict=False):
            vars(callback).update(counts)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """An epoch was reported, and was not the trial's last one."""
        self._checkpoint.write(lambda path: _dump(self._state(epoch), path), epoch)

    def _state(self, epoch: int) -> dict[str, Any]:
        return {
            "epoch": epoch,
            "is_stopped": bool(self.model.stop_training),
            "variables": [keras.ops.convert_to_numpy(one) for one in _variables(self.model)],
            "counts": [_counts(callback) for callback in self._callbacks],
            "followed": self._followed.state(),
        }


def _counts(callback: Any) -> dict[str, Any]:
    """What a callback of Keras has counted; of another one nothing."""
    names = {name for kind, names in _COUNTED.items() if isinstance(callback, kind) for name in names}
    return {name: value for name, value in vars(callback).items() if name in names}


def _assign(model: Any, arrays: Sequence[Any], sample: Mapping[str, Any] | None) -> None:
    """Give all variables the values of ``arrays``; ``ValueError`` where there are others than those."""
    optimizer = getattr(model, "optimizer", None)
    if model.built and optimizer is not None and not optimizer.built:
        optimizer.build(model.trainable_variables)
    if not _fit(model, arrays) and sample is not None:
        model.fit(**sample, epochs=1, shuffle=False, verbose=0)  # what this does to the variables is undone
    if not _fit(model, arrays):
        raise ValueError("the model has other variables")
    for variable, array in zip(_variables(model), arrays, strict=True):
        variable.assign(array)


def _fit(model: Any, arrays: Sequence[Any]) -> bool:
    return [tuple(one.shape) for one in _variables(model)] == [one.shape for one in arrays]


def _variables(model: Any) -> list[Any]:
    """All that a training changes, but the metrics, which begin anew with each epoch."""
    found = [*model.variables]
    for optimizer in _optimizers(model):
        found += optimizer.variables
    return list({id(one): one for one in found}.values())


def _optimizers(model: Any) -> Iterator[Any]:
    """Those of the model and of models in it, also under names of their own, as the two of a GAN."""
    for one in (model, *model.layers):
        for value in vars(one).values():
            several = value.values() if isinstance(value, dict) else value
            for item in several if isinstance(value, dict | list | tuple) else [value]:
                if isinstance(item, keras.optimizers.Optimizer):
                    yield item


def _dump(state: Mapping[str, Any], path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file, file.open(_MEMBER, "w", force_zip64=True) as member:
        pickle.dump(state, member, protocol=5)


def _load(path: Path) -> Any:
    """The file is in the run's directory, which is its owner's alone."""
    with zipfile.ZipFile(path) as file, file.open(_MEMBER) as member:
        return pickle.load(member)
