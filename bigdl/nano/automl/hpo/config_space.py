"""Search spaces for ConfigSpace, where that package is installed: a space in, ConfigSpace's object out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bigdl.nano.automl.hpo.lazy import ROOT, Lazy, Place, parts_of
from bigdl.nano.automl.hpo.naming import CHOICE, parameter_name

if TYPE_CHECKING:
    from ConfigSpace import ConfigurationSpace

_Condition = tuple[Any, Any]  # a choice's hyperparameter and the label under which something is active


def configuration_space(thing: Lazy) -> ConfigurationSpace:
    """All parameters in it, without prefixes, each active where its branch is chosen."""
    space: ConfigurationSpace = _package().ConfigurationSpace()
    _add(space, thing, ROOT, None)
    return space


def _add(space: ConfigurationSpace, thing: Any, place: Place, condition: _Condition | None) -> None:
    if getattr(thing, "is_choice", False):
        own = thing.hyperparameter(parameter_name((*place.path, CHOICE), None), thing.prefix)
        _enter(space, own, condition)
        for (choice, where), label in zip(thing.parts(place), thing.labels, strict=True):
            _add(space, choice, where, (own, label))
    elif hasattr(thing, "hyperparameter"):
        name = parameter_name(place.path, None) or type(thing).__name__.lower()
        _enter(space, thing.hyperparameter(name, thing.prefix), condition)
    else:
        for part, where in parts_of(thing, place):
            _add(space, part, where, condition)


def _enter(space: ConfigurationSpace, one: Any, condition: _Condition | None) -> None:
    space.add(one)
    if condition is not None:
        space.add(_package().EqualsCondition(one, *condition))


def float_hyperparameter(space: Any, name: str, prefix: str | None) -> Any:
    """A range of numbers."""
    meta = {"prefix": prefix}
    if space.lower == space.upper:
        return _package().Constant(name, space.lower, meta=meta)
    return _package().UniformFloatHyperparameter(
        name, space.lower, space.upper, default_value=space.initial, log=space.log, meta=meta
    )


def integer_hyperparameter(space: Any, name: str, prefix: str | None) -> Any:
    """A range of whole numbers; with a step, which ConfigSpace does not know, an ordered list of them."""
    meta = {"prefix": prefix}
    if space.lower == space.last:
        return _package().Constant(name, space.lower, meta=meta)
    if space.step != 1:
        numbers = list(range(space.lower, space.last + 1, space.step))
        return _package().OrdinalHyperparameter(name, numbers, default_value=space.initial, meta=meta)
    return _package().UniformIntegerHyperparameter(
        name, space.lower, space.upper, default_value=space.initial, log=space.log, meta=meta
    )


def categorical_hyperparameter(labels: Sequence[Any], default: Any, name: str, prefix: str | None) -> Any:
    """A choice."""
    return _package().CategoricalHyperparameter(
        name, list(labels), default_value=default, meta={"prefix": prefix}
    )


def _package() -> Any:
    try:
        import ConfigSpace
    except ImportError as error:
        raise ImportError("ConfigSpace is not installed: pip install ConfigSpace.") from error
    return ConfigSpace
