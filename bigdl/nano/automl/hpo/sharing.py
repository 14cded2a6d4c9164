"""Parameters of one name: a recipe in; the definition that counts for each name, and what is unclear, out."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from bigdl.nano.automl.hpo.lazy import ROOT, Place, walk
from bigdl.nano.automl.hpo.naming import SPLITTER
from bigdl.nano.automl.hpo.parameter import Parameter
from orchestrator.names import shown_name


def parameters_in(thing: Any, place: Place = ROOT) -> Iterator[tuple[str, Parameter, Any]]:
    """Every parameter that a recipe may ask for: its name, a definition, and what that is an argument of."""
    for part, where, owner in walk(thing, place):
        if hasattr(part, "parameter_at"):
            yield part.parameter_at(where), part, owner


class SharedParameterWarning(UserWarning):
    """Two search spaces have one name and share one parameter."""


def last_definitions(*recipes: Any) -> dict[str, Parameter]:
    """By name, the definition that was written last: it counts for all of that name."""
    return {name: definitions[-1][0] for name, definitions in _definitions(recipes).items()}


def warn_of_shared_names(*recipes: Any) -> None:
    """Say which parameters are defined by several spaces, where, how, and what would part them."""
    for name, definitions in _definitions(recipes).items():
        if len(definitions) > 1:
            (first, _), (last, owner) = definitions[0], definitions[-1]
            short = shown_name(name)
            warnings.warn(
                f"'{short}' is defined by {first} ({first.defined_at}) and by {last} ({last.defined_at}): "
                f"they share one parameter and the last one, {last}, counts for both. A prefix parts them: "
                f"{_with_prefix(last, owner, name)}.",
                SharedParameterWarning,
                stacklevel=3,
            )


def _definitions(recipes: tuple[Any, ...]) -> Mapping[str, list[tuple[Parameter, Any]]]:
    """By name: the different spaces in the order in which they were written, and what each belongs to."""
    found: dict[str, dict[int, tuple[Parameter, Any]]] = defaultdict(dict)
    for recipe in recipes:
        for name, parameter, owner in parameters_in(recipe):
            found[name].setdefault(id(parameter), (parameter, owner))
    return {name: sorted(all_.values(), key=lambda one: one[0].created) for name, all_ in found.items()}


def _with_prefix(parameter: Parameter, owner: Any, name: str) -> str:
    """``Int(1, 5, prefix='dense_2')``."""
    label = getattr(owner, "label", None)
    stem = (
        label.rpartition(".")[2].lower() if isinstance(label, str) else shown_name(name).split(SPLITTER)[-1]
    )
    words = repr(parameter).removesuffix(")")
    return f"{words}{'' if words.endswith('(') else ', '}prefix='{stem}_2')"
