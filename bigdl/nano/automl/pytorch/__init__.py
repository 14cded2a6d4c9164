"""Hyperparameter search for Lightning models: ``HPOSearcher``, which ``Trainer.search`` works with.

Importing it imports neither torch nor Lightning.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bigdl.nano.automl.pytorch.searcher import HPOSearcher

__all__ = ["HPOSearcher", "require_lightning"]


def require_lightning() -> None:
    """Raise ``ImportError`` in one line where torch or Lightning is not installed. Imports neither."""
    packages = {"torch": "torch", "pytorch_lightning": "pytorch-lightning"}
    missing = [package for module, package in packages.items() if find_spec(module) is None]
    if missing:
        raise ImportError(
            f"To search PyTorch Lightning models install {' and '.join(missing)}: "
            "pip install 'nano-hpo[lightning]'."
        )


def __getattr__(name: str) -> Any:
    if name != "HPOSearcher":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require_lightning()
    from bigdl.nano.automl.pytorch.searcher import HPOSearcher

    return HPOSearcher
