"""A function as a layer: TensorFlow's functions do not take Keras's symbolic tensors, a layer does."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras.src.saving.serialization_lib import in_safe_mode

_MARK = "__tensor__"
_COMPUTATIONS = "tensorflow.python.ops."
_EFFECTS = ("io_ops", "script_ops", "dataset_ops", "logging_ops", "summary_ops")  # what they do is no tensor


def called_in_a_layer(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """``function(*args, **kwargs)`` as a layer of its own, called on the tensors among the arguments."""
    tensors: list[Any] = []

    def marked(value: Any) -> Any:
        if not isinstance(value, keras.KerasTensor):
            return value
        tensors.append(value)
        return {_MARK: len(tensors) - 1}

    arguments = keras.tree.map_structure(marked, {"args": list(args), "kwargs": dict(kwargs)})
    return FunctionLayer(function, arguments)(tensors)


@keras.saving.register_keras_serializable(package="nano_hpo")
class FunctionLayer(keras.layers.Layer):  # type: ignore[misc]
    """Calls a function on the tensors that it is called on, with the other arguments as they were given.

    A model with it can be saved when the function can be imported (``tensorflow:cast``). A file may name any
    function: without ``safe_mode=False`` only computations of TensorFlow are loaded from one.
    """

    def __init__(self, function: Callable[..., Any], arguments: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**{"autocast": False, **kwargs})  # the function gets the tensors as they are
        self.function, self.arguments = function, arguments

    def call(self, tensors: Any) -> Any:
        """The function's value."""
        filled = _filled(self.arguments, tensors)
        return self.function(*filled["args"], **filled["kwargs"])

    def compute_output_spec(self, tensors: Any) -> Any:
        """As Keras does it, which may have taken a dense tensor for a sparse one (``tensor * 2.0``)."""
        try:
            return super().compute_output_spec(tensors)
        except (TypeError, ValueError):
            dense = [keras.KerasTensor(one.shape, one.dtype) for one in tensors]
            return super().compute_output_spec(dense)

    def get_config(self) -> dict[str, Any]:
        """The function by its name; ``ValueError`` where it has none that can be imported."""
        arguments = keras.saving.serialize_keras_object(self.arguments)
        return {**super().get_config(), "function": _name_of(self.function), "arguments": arguments}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FunctionLayer:
        """The layer of a saved model; ``ValueError`` for a function that only a trusted file may name."""
        arguments = keras.saving.deserialize_keras_object(config["arguments"])
        return cls(**{**config, "function": _loaded(config["function"]), "arguments": arguments})


def _filled(template: Any, tensors: Any) -> Any:
    if isinstance(template, dict):
        if _MARK in template:
            return tensors[template[_MARK]]
        return {key: _filled(value, tensors) for key, value in template.items()}
    if isinstance(template, list | tuple):
        return type(template)(_filled(value, tensors) for value in template)
    return template


def _name_of(function: Callable[..., Any]) -> str:
    name = getattr(function, "__qualname__", "")
    for module in ("tensorflow", getattr(function, "__module__", None) or ""):
        try:
            if _imported(f"{module}:{name}") is function:
                return f"{module}:{name}"
        except (ImportError, AttributeError, ValueError):
            continue
    raise ValueError(
        f"The model cannot be saved whole: function {name!r} in it cannot be imported; define it at the top "
        "of a module, or save the weights alone."
    )


def _loaded(name: str) -> Any:
    if in_safe_mode() is False:
        return _imported(name)
    if name.partition(":")[0].partition(".")[0] == "tensorflow":
        function = _imported(name)
        module = getattr(function, "__module__", None) or ""
        if module.startswith(_COMPUTATIONS) and not module.endswith(_EFFECTS):
            return function
    raise ValueError(
        f"The saved model calls {name}, which may do anything. If you trust the file, load it by "
        "load_model(..., safe_mode=False)."
    )


def _imported(name: str) -> Any:
    module, _, path = name.partition(":")
    found = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found
