"""Lightning with hyperparameter search: ``Trainer``. Importing it imports neither torch nor Lightning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bigdl.nano.pytorch.trainer import Trainer

__all__ = ["Trainer"]


def __getattr__(name: str) -> Any:
    if name != "Trainer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bigdl.nano import require_rooms

    require_rooms()
    from bigdl.nano.automl.pytorch import require_lightning

    require_lightning()
    from bigdl.nano.pytorch.trainer import Trainer

    return Trainer
