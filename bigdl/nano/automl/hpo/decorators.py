"""The decorators: classes, functions and scripts that take search spaces where they took values.

@hpo.obj()                      a class: Layer(units=space.Int(8, 64))
@hpo.func()                     a function: block(x, rate=space.Real(0, 0.5)), hpo.func()(tf.cast)(x, …)
@hpo.args(lr=space.Real(0, 1))  a function of its arguments, as an objective of a search
@hpo.tfmodel()                  a subclass of tf.keras.Model: model.search(…)
@hpo.plmodel()                  a LightningModule: trainer.search(model, …)
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from bigdl.nano.automl.hpo.lazy import Build
from bigdl.nano.automl.hpo.objects import Arguments, Searchable, SearchableFunction, name_of
from bigdl.nano.automl.hpo.sharing import last_definitions, warn_of_shared_names
from bigdl.nano.automl.hpo.values import TrialValues

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

__all__ = ["args", "func", "obj", "plmodel", "tfmodel"]


def obj() -> Callable[[type], Any]:
    """Decorate a class (a layer, a callback …): it takes spaces, and is made when a trial knows them."""
    return lambda target: Searchable(_require(inspect.isclass, target, "obj", "a class"))


def func() -> Callable[[Callable[..., Any]], Any]:
    """Decorate a function: called with spaces or recorded tensors it is called again in every trial."""
    return lambda target: SearchableFunction(_require(callable, target, "func", "a function"))


def args(**searched: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a function of one argument, ``args``: these values, those of spaces drawn by a trial.

    What comes out is an objective: give it to ``orchestrator.search`` or to Optuna. In the function, a value
    is ``args.name``.
    """
    arguments = Arguments(searched)
    warn_of_shared_names(arguments)
    definitions = last_definitions(arguments)

    def decorate(target: Callable[..., Any]) -> Callable[..., Any]:
        _require(callable, target, "args", "a function")

        @functools.wraps(target)
        def objective(trial: BaseTrial) -> Any:
            values = Build(TrialValues(trial), definitions).resolve(arguments)
            return target(SimpleNamespace(**values))

        objective.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter("trial", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
        )
        return objective

    return decorate


def tfmodel() -> Callable[[type], Any]:
    """Decorate a subclass of ``tf.keras.Model``: its arguments may be spaces, and it has ``search``.

    What the decorated class makes is as ``bigdl.nano.automl.tf.keras.Model``.
    """

    def decorate(target: type) -> Any:
        from bigdl.nano.automl.tf.model import SearchableModelClass

        return SearchableModelClass(
            _require(inspect.isclass, target, "tfmodel", "a subclass of tf.keras.Model")
        )

    return decorate


def plmodel() -> Callable[[type], Any]:
    """Decorate a ``LightningModule``: with spaces among its arguments it is made when a trial knows them.

    The class stays itself, and its subclasses take spaces too. With values alone it is made at once; with
    spaces it is what ``bigdl.nano.pytorch.Trainer.search`` takes (and ``model.from_trial(trial)`` makes it in
    an objective of one's own).
    """

    def decorate(target: type) -> Any:
        from bigdl.nano.automl.pytorch.module import take_spaces

        is_module = inspect.isclass(target) and "LightningModule" in {
            kind.__name__ for kind in target.__mro__
        }
        return take_spaces(_require(lambda _: is_module, target, "plmodel", "a LightningModule"))

    return decorate


def _require(fits: Callable[[Any], bool], target: Any, decorator: str, what: str) -> Any:
    if not fits(target):
        raise TypeError(f"@hpo.{decorator}() decorates {what}, not {name_of(target)}.")
    return target
