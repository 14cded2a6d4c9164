"""The weights of a torch module, to be kept beside a run: a module in, arrays out, and back."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch


def weights_of(module: Any) -> list[Any]:
    """The weights of a module as arrays: one, of the bytes in which torch saves its state."""
    stream = io.BytesIO()
    torch.save({name: value.detach().cpu() for name, value in module.state_dict().items()}, stream)
    return [np.frombuffer(stream.getvalue(), np.uint8)]


def load_weights(module: Any, weights: list[Any]) -> None:
    """The inverse of :func:`weights_of`."""
    module.load_state_dict(torch.load(io.BytesIO(weights[0].tobytes()), weights_only=True))
