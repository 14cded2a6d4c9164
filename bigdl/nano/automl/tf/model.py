"""How searchable Keras models come about: layers, a graph or a class in; a ``SearchableModel`` out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bigdl.nano.automl.hpo.lazy import Lazy, lazy_of
from bigdl.nano.automl.hpo.objects import LazyObject, Searchable, SearchableFunction, name_of
from bigdl.nano.automl.tf.kept import keep, kept
from bigdl.nano.automl.tf.recipes import FunctionalRecipe, SequentialRecipe
from bigdl.nano.automl.tf.searchable_model import SearchableModel

__all__ = ["Model", "SearchableModelClass", "Sequential"]


class Sequential(SearchableModel):
    """Layers in a row, as ``keras.Sequential``: arguments of layers may be spaces, and so may layers."""

    _recipe: SequentialRecipe

    def __init__(
        self, layers: Sequence[Any] | None = None, trainable: bool = True, name: str | None = None
    ) -> None:
        import keras

        recipe = SequentialRecipe({"trainable": trainable, "name": name})
        super().__init__(recipe, keras.Sequential, name or "sequential")
        for layer in layers or ():
            self.add(layer)

    def add(self, layer: Any) -> None:
        """Add a layer at the end: a searchable one, one of Keras, a model, or a Categorical of such."""
        _refuse_what_is_no_layer(layer)
        self._recipe.add(kept(layer))
        self._made = None

    def pop(self) -> Any:
        """Remove the last layer and return it."""
        if not self._recipe.layers:
            raise ValueError("There is no layer to remove.")
        self._made = None
        return self._recipe.layers.pop()


class Model(SearchableModel):
    """A functional model, as ``keras.Model``: made of what ``bigdl.nano.tf.keras.Input`` and layers give."""

    def __init__(self, inputs: Any, outputs: Any, **kwargs: Any) -> None:
        import keras

        recipe = FunctionalRecipe(inputs, outputs, kwargs)
        keep(recipe)
        super().__init__(recipe, keras.Model, kwargs.get("name") or "model")


class SearchableModelClass(Searchable):
    """A subclass of ``keras.Model`` that takes search spaces: what ``@hpo.tfmodel()`` makes of it."""

    def __init__(self, target: type) -> None:
        import keras

        if not issubclass(target, keras.Model):
            raise TypeError(
                f"@hpo.tfmodel() decorates a subclass of tf.keras.Model; {name_of(target)} is none."
            )
        super().__init__(target)

    def _lazy(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> SearchableModel:
        made = LazyObject(self.__wrapped__, kept(args), kept(kwargs))
        return SearchableModel(made, self.__wrapped__, self.__name__.lower())  # type: ignore[arg-type]


def _refuse_what_is_no_layer(layer: Any) -> None:
    import keras

    if isinstance(layer, SearchableFunction | Searchable):
        raise TypeError(f"{layer.__name__} is no layer yet; call it: {layer.__name__}(…).")
    if not isinstance(lazy_of(layer), Lazy | keras.layers.Layer | keras.KerasTensor):
        raise TypeError(f"{layer!r} is no layer.")
