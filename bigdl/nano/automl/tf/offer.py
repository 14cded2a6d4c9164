"""What ``bigdl.nano.tf`` offers while enabled: a name of Keras in, the searchable object of it out."""

from __future__ import annotations

import dis
import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

from bigdl.nano.automl import hpo_config
from bigdl.nano.automl.hpo.objects import Searchable, SearchableFunction

_OURS = {  # modules of our own, before those of Keras of the same name
    "bigdl.nano.tf": ("keras", "optimizers"),
    "bigdl.nano.tf.keras": ("activations", "layers"),
    "bigdl.nano.tf.optimizers": ("schedules",),
}
_IMPORTS = ("IMPORT_FROM", "IMPORT_STAR", "CALL_INTRINSIC_1")  # the last: a star since Python 3.12

_cache: dict[tuple[str, str], Any] = {}


def offered(module: str, name: str, find: Callable[[], Any]) -> Any:
    """The searchable object for ``name`` of what ``find`` gives, asked by ``__getattr__`` of ``module``.

    While it is not enabled ``from … import`` raises an ``ImportError`` that says so. All else gets
    ``AttributeError``, as for what Keras does not have: pickle asks every module for any name.
    """
    if name in _OURS.get(module, ()):
        return import_module(f"{module}.{name}")
    if name.startswith("__") and name != "__all__":
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    if not hpo_config.is_hpo_tf_enabled():
        _refuse(module, name)
    if name == "__all__":
        return names_offered(find)
    source = find()
    if not hasattr(source, name):
        raise AttributeError(f"module {module!r} has no attribute {name!r}; neither has {source.__name__}")
    return _cache.setdefault((module, name), _searchable(name, getattr(source, name)))


def _refuse(module: str, name: str) -> NoReturn:
    text = (
        f"cannot import {name!r} from {module!r}: searchable objects are not enabled; call "
        "bigdl.nano.automl.hpo_config.enable_hpo_tf() before."
    )
    if _is_import(sys._getframe(3)):  # what asked the module
        raise ImportError(text, name=module)
    raise AttributeError(text)


def _is_import(frame: FrameType) -> bool:
    """Whether the frame stands at ``from … import``."""
    return dis.opname[frame.f_code.co_code[frame.f_lasti]] in _IMPORTS


def names_offered(find: Callable[[], Any]) -> list[str]:
    """The names that there are now: none while it is not enabled."""
    if not hpo_config.is_hpo_tf_enabled():
        return []
    return [name for name in dir(find()) if not name.startswith("_")]


def _searchable(name: str, thing: Any) -> Any:
    """Classes and functions become searchable; Input begins a graph; all else is handed on."""
    if name == "Input":
        from bigdl.nano.automl.tf.tensors import Input

        return Input
    if inspect.isclass(thing):
        return Searchable(thing)
    return SearchableFunction(thing) if inspect.isfunction(thing) else thing


def keras_layers() -> Any:
    """The module of Keras's layers."""
    from keras import layers

    return layers


def keras_activations() -> Any:
    """The module of Keras's activations."""
    from keras import activations

    return activations


def keras_optimizers() -> Any:
    """The module of Keras's optimizers."""
    from keras import optimizers

    return optimizers


def keras_schedules() -> Any:
    """The module of Keras's learning rate schedules."""
    from keras.optimizers import schedules

    return schedules


def keras() -> Any:
    """Keras itself."""
    import keras

    return keras


def tensorflow() -> Any:
    """TensorFlow itself."""
    import tensorflow

    return tensorflow
