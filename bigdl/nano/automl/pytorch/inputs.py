"""What a model is called with to see how fast it is: what the user gave, or one sample of the data."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from bigdl.nano.automl.pytorch.data import loaders_in


def inputs_for(model: Any, given: Any, trainer: Any) -> tuple[Any, ...]:
    """``input_sample``; else the model's ``example_input_array``; else one sample of the trainer's data.

    Of a batch of several things the first is taken, as of images and labels. ``ValueError``: there are no
    data.
    """
    if given is None:
        given = getattr(model, "example_input_array", None)
        if isinstance(given, Mapping):  # Lightning's way of naming the arguments
            return inspect.signature(model.forward).bind(**given).args
    if given is not None:
        return tuple(given) if isinstance(given, tuple | list) else (given,)
    for loaders in (trainer.val_dataloaders, trainer.train_dataloader):
        for loader in loaders_in(loaders):
            for batch in loader:
                return (_first_sample(batch[0] if isinstance(batch, tuple | list) else batch),)
    raise ValueError("latency: there are no data to call the model with; give input_sample.")


def _first_sample(batch: Any) -> Any:
    if isinstance(batch, torch.Tensor):
        return batch[:1] if batch.dim() else batch
    if isinstance(batch, Mapping):
        return {name: _first_sample(part) for name, part in batch.items()}
    return batch
