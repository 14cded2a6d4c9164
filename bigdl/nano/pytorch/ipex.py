"""Intel Extension for PyTorch and what stands in for it: settings in; callbacks that prepare a model out.

The extension exists for a few versions of torch, each for one (its own documentation of versions); elsewhere
plain torch runs with the same settings.
"""

from __future__ import annotations

import warnings
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import pytorch_lightning as pl
import torch

_PACKAGE = "intel_extension_for_pytorch"


@cache
def problem() -> str | None:
    """Why the extension cannot be used here, in a few words; None when it can.

    Versions are compared first: imported beside another torch it prints a line and raises AttributeError.
    """
    if find_spec(_PACKAGE) is None:
        return "is not installed (pip install 'nano-hpo[ipex]')"
    try:
        own = version("intel-extension-for-pytorch")
    except PackageNotFoundError:  # a build of one's own: importing it will tell
        own = torch.__version__
    if own.split(".")[:2] != torch.__version__.split(".")[:2]:
        return f"{own} does not go with torch {torch.__version__}"
    try:
        _load()
    except Exception as error:
        return f"cannot be imported ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
    return None


def _load() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import intel_extension_for_pytorch as ipex
    return ipex


def say_if_absent(is_bf16: bool, channels_last: bool) -> None:
    """One line where ``use_ipex=True`` is asked for and cannot be."""
    reason = problem()
    if reason is not None:
        settings = [*(["bf16 autocast"] if is_bf16 else []), *(["channels_last"] if channels_last else [])]
        same = f" with the same settings ({', '.join(settings)})" if settings else ""
        warnings.warn(
            f"use_ipex=True: Intel Extension for PyTorch {reason}; plain torch runs{same}.", stacklevel=4
        )


def optimized_for_inference(module: Any, is_bf16: bool) -> Any:
    """A module as the extension makes it for inference."""
    return _load().optimize(module.eval(), dtype=torch.bfloat16 if is_bf16 else torch.float32)


class ChannelsLast(pl.Callback):  # type: ignore[misc]
    """Stores the weights of convolutions with channels last; they then work so, whatever they are given.

    Source: PyTorch's tutorial on the channels-last memory format. Convolutions of the extension have formats
    of their own.
    """

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Before the optimizers are made."""
        for part in pl_module.modules():
            if isinstance(part, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                part.to(memory_format=torch.channels_last)


class Optimized(pl.Callback):  # type: ignore[misc]
    """Lets the extension optimise model and optimizer in place before training."""

    def __init__(self, is_bf16: bool) -> None:
        super().__init__()
        self._dtype = torch.bfloat16 if is_bf16 else torch.float32

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """The optimizers are made. The extension takes one; of several, each is left as it is."""
        pl_module.train()
        if any(type(part).__module__.startswith(_PACKAGE) for part in pl_module.modules()):
            warnings.warn(
                "use_ipex=True: the model was optimised for an earlier fit and stays so; its optimizer is "
                "torch's own this time.",
                stacklevel=2,
            )
            return
        if len(trainer.optimizers) != 1:
            return
        _, optimizer = _load().optimize(
            pl_module, optimizer=trainer.optimizers[0], dtype=self._dtype, inplace=True
        )
        trainer.strategy.optimizers = [optimizer]
