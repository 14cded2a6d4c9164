"""Where a functional model begins: ``Input``, once ``hpo_config.enable_hpo_tf()`` was called."""

from typing import Any

from bigdl.nano.automl.tf.offer import keras as _keras
from bigdl.nano.automl.tf.offer import offered as _offered

_NAMES = ["Input", "activations", "layers"]


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return _NAMES
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _offered(__name__, name, _keras)


def __dir__() -> list[str]:
    return _NAMES
