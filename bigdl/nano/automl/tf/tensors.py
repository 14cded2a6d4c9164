"""Recorded tensors: what ``Input`` and searchable layers give; a functional model is made of them."""

from __future__ import annotations

from typing import Any, NoReturn

from bigdl.nano.automl.hpo.objects import checked_arguments
from bigdl.nano.automl.hpo.symbols import Call, Symbol, record
from bigdl.nano.automl.tf.build import KerasBuild


class SymbolicTensor(Symbol):
    """A tensor of a functional model whose layers are not made yet."""

    build_class = KerasBuild

    @property
    def shape(self) -> Any:
        """Its shape, known in a trial; its items may be used as arguments of layers."""
        return record(getattr, (self, "shape"), {})

    @property
    def dtype(self) -> Any:
        """Its data type, known in a trial."""
        return record(getattr, (self, "dtype"), {})

    @property
    def ndim(self) -> Any:
        """The number of its dimensions, known in a trial."""
        return record(getattr, (self, "ndim"), {})

    def __tf_tensor__(self, dtype: Any = None, name: Any = None) -> NoReturn:
        self._refuse("TensorFlow")

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        self._refuse("numpy")

    def _refuse(self, who: str) -> NoReturn:
        raise TypeError(
            f"A recorded tensor reached {who} or an ordinary Keras layer. Import layers from "
            "bigdl.nano.tf.keras.layers, make your own searchable by @hpo.obj(), and call functions, and "
            "models that exist already, as hpo.func()(function)(tensor)."
        )

    def __repr__(self) -> str:
        return f"<recorded tensor {self.created}>"


def Input(*args: Any, **kwargs: Any) -> SymbolicTensor:  # noqa: N802 - Keras's name
    """A recorded tensor where a functional model begins; the arguments are those of ``keras.Input``."""
    import keras

    return SymbolicTensor(Call(keras.Input, *checked_arguments(keras.Input, args, kwargs)))


def is_input(symbol: Symbol) -> bool:
    """Whether a graph begins here."""
    return getattr(symbol.call.function, "__name__", "") == "Input"
