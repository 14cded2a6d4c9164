"""Copies of Keras objects: an object in; what makes new ones like it, here or in another process, out."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from typing import Any

from bigdl.nano.automl.hpo.objects import name_of

Copier = Callable[[], Any]


def copier_of(thing: Any) -> Copier:
    """What makes an object like ``thing``, with its weights; it can be pickled.

    Raises ``TypeError`` for an object that tells too little about itself.
    """
    reason: Exception | None = None
    for way in _ways(thing):
        try:
            copier = way(thing)
            copier()
        except Exception as error:  # each class refuses in a way of its own
            reason = reason or error
        else:
            return copier
    name = name_of(type(thing))
    raise TypeError(
        f"{name}: an object that was made already cannot be made anew for each trial ({_short(reason)}). "
        f"Give {name} a get_config() that names all its arguments, or make it searchable: "
        f"hpo.obj()({name})(...)."
    )


def _ways(thing: Any) -> tuple[Callable[[Any], Copier], ...]:
    import keras

    if isinstance(thing, keras.Operation):
        has_state_of_data = any(hasattr(one, "adapt") for one in _layers_in(thing))
        return (Pickled,) if has_state_of_data else (Configured, Pickled)
    if _tells_all(type(thing)) and (isinstance(thing, keras.optimizers.Optimizer) or _tells_truly(thing)):
        return (Configured, Attributes)
    return (Attributes,)


def _layers_in(thing: Any) -> list[Any]:
    return list(thing._flatten_layers()) if hasattr(thing, "_flatten_layers") else [thing]


def _tells_all(kind: type) -> bool:
    """Whether ``get_config`` can know the arguments: it belongs to the class that takes them, or below."""
    for one in kind.__mro__:
        if "get_config" in vars(one):
            return True
        if "__init__" in vars(one):
            return False
    return False


def _tells_truly(thing: Any) -> bool:
    """Whether one made of its configuration has the same attributes: Keras's Huber forgets its delta."""
    try:
        made = type(thing).from_config(copy.deepcopy(thing.get_config()))
    except Exception:  # it tells nothing that it could be made of
        return False
    return _plain_items(vars(made)) == _plain_items(vars(thing))


def _plain_items(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


class Configured:
    """An object as its class, configuration and, once it was built, weights."""

    def __init__(self, thing: Any) -> None:
        self.kind: Any = type(thing)
        self.config = _without_automatic_name(self.kind, thing.get_config())
        is_built = getattr(thing, "built", False) and hasattr(thing, "get_build_config")
        self.build_config = thing.get_build_config() if is_built else None
        self.weights = thing.get_weights() if is_built else []

    def __call__(self) -> Any:
        """A new one."""
        made = self.kind.from_config(copy.deepcopy(self.config))
        if self.weights:
            self._build(made)
            made.set_weights(self.weights)
        return made

    def _build(self, made: Any) -> None:
        import keras

        if made.built and made.weights:
            return
        if type(made).build is keras.layers.Layer.build:  # it builds its layers when it is called
            made(keras.Input(batch_shape=(self.build_config or {})["input_shape"]))
        else:
            made.build_from_config(self.build_config)


class Pickled:
    """An object as Keras saves it: with what its layers have learnt of data by ``adapt``."""

    def __init__(self, thing: Any) -> None:
        self.saved = pickle.dumps(thing)

    def __call__(self) -> Any:
        """A new one."""
        return pickle.loads(self.saved)


class Attributes:
    """An object as its class and its attributes, whatever ``get_config`` says of it."""

    def __init__(self, thing: Any) -> None:
        self.kind = type(thing)
        self.attributes = copy.deepcopy({name: _untracked(value) for name, value in vars(thing).items()})

    def __call__(self) -> Any:
        """A new one."""
        made = object.__new__(self.kind)
        vars(made).update(copy.deepcopy(self.attributes))
        return made


def _untracked(value: Any) -> Any:
    """Of Keras's lists, sets and dictionaries, which cannot be pickled, the plain ones."""
    if not hasattr(value, "tracker"):
        return value
    return next((kind(value) for kind in (dict, list, set) if isinstance(value, kind)), value)


def _without_automatic_name(kind: type, config: dict[str, Any]) -> dict[str, Any]:
    """Without ``dense_3``: beside layers that are made anew, such a name may be there twice."""
    import keras

    name = config.get("name")
    is_automatic = isinstance(name, str) and re.fullmatch(_snake_case(kind.__name__) + r"(_\d+)?", name)
    if not (is_automatic and issubclass(kind, keras.layers.Layer)):
        return config
    return {**config, "name": None}


def _snake_case(name: str) -> str:
    """As Keras forms names."""
    parted = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", parted).lower()


def _short(error: Exception | None) -> str:
    """An error in one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 150 else f"{text[:147]}..."
