"""The weights of a torch module, to be kept beside a run: a module in, arrays out, and back."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import numpy as np
import torch


def state_of(module: Any) -> dict[str, Any]:
    """A copy of the state of a module, which may go on training. Not all of a state need be tensors."""
    return {name: _copied(value) for name, value in module.state_dict().items()}


def packed(state: dict[str, Any]) -> list[Any]:
    """A state as arrays: one, of the bytes in which torch saves it."""
    stream = io.BytesIO()
    torch.save(state, stream)
    return [np.frombuffer(stream.getvalue(), np.uint8)]


def load_weights(module: Any, weights: list[Any]) -> None:
    """Give a module a packed state. ``ValueError`` where it has other parts than the one that was trained.

    Layers of ``configure_model`` are made first, as a trainer would.
    """
    module.configure_model()
    try:
        state = torch.load(io.BytesIO(weights[0].tobytes()), weights_only=True)
        module.load_state_dict(state)
    except (RuntimeError, pickle.UnpicklingError) as error:
        raise ValueError(" ".join(str(error).split())[:200]) from error
    if module.state_dict().keys() != state.keys():
        raise ValueError("it has other parts than the model that was trained")


def _copied(value: Any) -> Any:
    return value.detach().cpu().clone() if isinstance(value, torch.Tensor) else copy.deepcopy(value)
