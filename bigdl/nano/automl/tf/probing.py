"""A model looked at before its search: built once with default values; what it reports, out."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bigdl.nano.automl.hpo.lazy import Lazy
from bigdl.nano.automl.hpo.objects import Arguments
from bigdl.nano.automl.hpo.parameter import Parameter
from bigdl.nano.automl.hpo.values import DefaultValues
from bigdl.nano.automl.tf.build import KerasBuild

_DIRECTIONS = {"up": "maximize", "down": "minimize"}


@dataclass(frozen=True, slots=True)
class Report:
    """The metrics that a model reports (without those on validation data), and their directions."""

    names: tuple[str, ...]
    directions: Mapping[str, str | None]
    may_report_more: bool  # it trains in a way of its own


def probe(
    recipe: Lazy, compiling: Arguments, definitions: Mapping[str, Parameter], sample: Mapping[str, Any] | None
) -> Report | None:
    """Build the model with default values and evaluate it, untrained, on one sample.

    None where that is not possible: there is no sample, or the default values make no model; the trials will
    say what is wrong.
    """
    if sample is None:
        return None
    import keras

    try:
        build = KerasBuild(DefaultValues(), definitions)
        model = build.resolve(recipe)
        model.compile(**build.resolve(compiling))
        model.run_eagerly = True  # one sample is not worth a compilation
        reported = model.evaluate(**sample, verbose=0, return_dict=True)
    except Exception as error:
        warnings.warn(
            f"With default values the model cannot be evaluated ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else 'no reason given'}); the metric is not checked.",
            stacklevel=4,
        )
        return None
    own = type(model).train_step is not keras.Model.train_step or type(model).fit is not keras.Model.fit
    return Report(tuple(reported), dict(_directions(model)), own)


def _directions(model: Any) -> Iterator[tuple[str, str | None]]:
    """What Keras itself knows of its metrics (``Metric._direction``, which its EarlyStopping goes by)."""
    for metric in model.metrics:
        for one in getattr(metric, "metrics", [metric]):
            yield one.name, _DIRECTIONS.get(getattr(one, "_direction", ""))
