"""What a Lightning model is trained on: loaders and data modules as given in; those of a trial out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from bigdl.nano.automl.hpo.lazy import Build, Lazy, mapped
from bigdl.nano.automl.pytorch.copies import own_copy


@dataclass(frozen=True)
class LightningData:
    """The data of ``fit``: loaders, or a data module; a model may bring its own.

    Each may be a function that returns it, or an object with search spaces (a data module whose class is
    decorated with ``@hpo.obj()``).
    """

    train_dataloaders: Any = None
    val_dataloaders: Any = None
    datamodule: Any = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> LightningData:
        """From arguments of ``search``; ``ValueError`` where Lightning would refuse them in each trial."""
        import pytorch_lightning as pl

        data = cls(**given)
        if isinstance(data.train_dataloaders, pl.LightningDataModule) and data.datamodule is None:
            data = cls(None, data.val_dataloaders, data.train_dataloaders)
        has_loaders = data.train_dataloaders is not None or data.val_dataloaders is not None
        if data.datamodule is not None and has_loaders:
            raise ValueError("Give loaders (train_dataloaders, val_dataloaders) or a datamodule, not both.")
        return data

    def lazy(self) -> list[Lazy]:
        """Those with search spaces."""
        return [thing for thing in self._given().values() if isinstance(thing, Lazy)]

    def for_trial(self, build: Build) -> dict[str, Any]:
        """The keywords of a trial's own ``fit``."""
        return {name: _own(thing, build) for name, thing in self._given().items()}

    def _given(self) -> dict[str, Any]:
        all_ = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: thing for name, thing in all_.items() if thing is not None}


def _own(thing: Any, build: Build) -> Any:
    if isinstance(thing, Lazy):
        return build.resolve(thing)
    if type(thing) in (dict, list, tuple):
        return mapped(thing, lambda part, _: _own(part, build))
    is_function = callable(thing) and not hasattr(thing, "__iter__")
    return thing() if is_function else own_copy(thing)


def loaders_in(given: Any) -> Iterator[Any]:
    """Every loader in what Lightning has: one, or lists and dictionaries of such."""
    if isinstance(given, Mapping):
        given = list(given.values())
    elif hasattr(given, "iterables"):  # a CombinedLoader
        given = [given.iterables]
    if isinstance(given, list | tuple):
        for one in given:
            yield from loaders_in(one)
    elif given is not None:
        yield given
