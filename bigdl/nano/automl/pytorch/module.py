"""Lightning modules that take search spaces: a class in; the same class, lazy when given spaces, out."""

from __future__ import annotations

import copy
import inspect
from typing import Any

from bigdl.nano.automl.hpo.lazy import Build, Place, is_lazy
from bigdl.nano.automl.hpo.objects import LazyObject, checked_arguments, name_of
from bigdl.nano.automl.hpo.sharing import parameters_in
from bigdl.nano.automl.pytorch.copies import is_data
from orchestrator.names import shown_name

_MARK = "_nano_hpo_takes_spaces"


class LazyModule(LazyObject):
    """A Lightning module that is made when a trial knows its parameters; until then it is a recipe."""

    def _made(self, build: Build, place: Place) -> Any:
        """What was made before, a pretrained backbone say, is copied: each trial changes its own."""
        memo: dict[int, Any] = {}
        args = [_own(build.resolve(value, place.at(index)), memo) for index, value in enumerate(self.args)]
        kwargs = {key: _own(build.resolve(value, place.at(key)), memo) for key, value in self.kwargs.items()}
        return self.target(*args, **kwargs)

    def open_names(self) -> list[str]:
        """The names of all that is to be chosen."""
        return sorted({shown_name(name) for name, _, _ in parameters_in(self)})

    def refusal(self, asked: str) -> str:
        """Why something cannot be done with it yet, in a line."""
        return (
            f"{asked}: nothing has been chosen for {', '.join(self.open_names())} of {self.label}; "
            "trainer.search(model, …) returns a model with the best values."
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Refused: there are no weights yet."""
        raise TypeError(self.refusal("call"))

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and hasattr(self.__dict__.get("target"), name):
            raise AttributeError(self.refusal(name))
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def take_spaces(target: Any) -> Any:
    """Let calls of the class that give it search spaces make a :class:`LazyModule`; it stays what it is.

    Subclasses inherit it. ``isinstance``, ``load_from_checkpoint`` and pickles see the user's own class, and
    ``save_hyperparameters`` sees the values of a trial.
    """
    if _MARK in vars(target):
        return target
    above = target.__new__

    def __new__(cls: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807 - it becomes the class's
        if (args or kwargs) and is_lazy((args, kwargs)):
            return LazyModule(cls, *checked_arguments(cls, args, kwargs))
        return above(cls) if above is object.__new__ else above(cls, *args, **kwargs)

    target.__new__ = __new__
    target.__signature__ = _OfInit()
    setattr(target, _MARK, True)
    return target


class _OfInit:
    """What a class takes: ``inspect`` would look at ``__new__``."""

    def __get__(self, instance: Any, owner: Any) -> inspect.Signature:
        if instance is not None:
            raise AttributeError("__signature__")
        signature = inspect.signature(owner.__init__)
        return signature.replace(parameters=list(signature.parameters.values())[1:])


def _own(thing: Any, memo: dict[int, Any]) -> Any:
    """A copy, but for data, which are shared, and for what cannot be copied (a connection, say)."""
    if type(thing) in (dict, list, tuple):
        parts = thing.items() if isinstance(thing, dict) else enumerate(thing)
        own = {key: _own(part, memo) for key, part in parts}
        return own if isinstance(thing, dict) else type(thing)(own.values())
    if is_data(thing):
        return thing
    try:
        return copy.deepcopy(thing, memo)
    except Exception:
        return thing


def require_module(model: Any) -> LazyModule:
    """The recipe that is given to ``search``; ``TypeError`` or ``ValueError`` in one line for all else."""
    import pytorch_lightning as pl

    if isinstance(model, pl.LightningModule):
        raise ValueError(
            f"search: {name_of(type(model))} was made with values alone, so there is nothing to search; "
            "decorate the class with @hpo.plmodel() and give it search spaces: "
            f"{name_of(type(model))}(width=space.Int(16, 64))."
        )
    if not isinstance(model, LazyModule):
        raise TypeError(
            f"search takes a LightningModule whose class is decorated with @hpo.plmodel(); this is {model!r}."
        )
    if not issubclass(model.target, pl.LightningModule):  # type: ignore[arg-type]
        raise TypeError(
            f"{model.label} is no LightningModule of pytorch_lightning: write `import pytorch_lightning as "
            "pl` (lightning.pytorch is another package, whose classes are others)."
        )
    return model
