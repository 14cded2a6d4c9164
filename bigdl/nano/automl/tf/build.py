"""The building of Keras models: recorded calls in; real layers called on Keras's own tensors out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bigdl.nano.automl.hpo.lazy import Build

_NOT_FOR_TENSORFLOW = "KerasTensor cannot be used as input to a TensorFlow function"


class KerasBuild(Build):
    """A build whose recorded functions get Keras's symbolic tensors.

    Layers and ``keras.ops`` take them. A TensorFlow function does not: it becomes a layer.
    """

    def apply(self, function: Callable[..., Any], args: Any, kwargs: Mapping[str, Any]) -> Any:
        """Call it, as a layer where it has to be."""
        if _is_of(function, "tensorflow"):
            return _in_a_layer(function, args, kwargs)
        try:
            return function(*args, **kwargs)
        except ValueError as error:
            if _NOT_FOR_TENSORFLOW not in str(error):
                raise
            return _in_a_layer(function, args, kwargs)


def _is_of(function: Callable[..., Any], package: str) -> bool:
    return (getattr(function, "__module__", None) or "").partition(".")[0] == package


def _in_a_layer(function: Callable[..., Any], args: Any, kwargs: Mapping[str, Any]) -> Any:
    from bigdl.nano.automl.tf.function_layer import called_in_a_layer

    return called_in_a_layer(function, args, kwargs)
