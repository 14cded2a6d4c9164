"""What a search optimises: metrics and directions as given, and what the model reports, in; checked, out."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bigdl.nano.automl.hpo.objects import LazyObject
from orchestrator.nearest import nearest

Mode = Literal["last", "max", "min", "auto", "best"]
_OF_ONE_EPOCH = "best"
_KERAS_MODES = ("last", "max", "min", "auto")
_VALIDATION = "val_"
_ALL_BUT_LETTERS = re.compile(r"[^a-zA-Z0-9]+")
_UP = {"accuracy", "acc", "auc", "precision", "recall", "f1", "f1_score", "fbeta", "iou", "r2_score"}
_DOWN = {"loss", "error", "mse", "mae", "mape", "msle", "rmse", "crossentropy", "divergence"}


@dataclass(frozen=True, slots=True)
class Targets:
    """The metrics to optimise, as the training's history names them, each with its direction.

    ``mode`` says which epoch counts: the last, the one of the largest or smallest value, or ("auto") the
    best in the metric's direction, for each metric its own; "best" is one epoch for all, that with the best
    value of the first metric.
    """

    metrics: tuple[str, ...]
    directions: tuple[str, ...]
    mode: Mode = "last"

    @property
    def metric_names(self) -> tuple[str, ...]:
        """What the study calls its objectives. A single one has no name: tables call it ``value``."""
        return self.metrics if len(self.metrics) > 1 else ()

    def scores(self, epochs: Sequence[Mapping[str, float]]) -> tuple[float, ...]:
        """The values of a training, from what each epoch has logged.

        ``ValueError`` when none has logged a metric.
        """
        for metric in self.metrics:
            if not any(metric in logs for logs in epochs):
                raise ValueError(unknown_metric(metric, {name: None for logs in epochs for name in logs}))
        if self.mode == _OF_ONE_EPOCH:
            return self._scores_of_one_epoch(epochs)
        return tuple(self._score(epochs, *pair) for pair in zip(self.metrics, self.directions, strict=True))

    def _score(self, epochs: Sequence[Mapping[str, float]], metric: str, direction: str) -> float:
        values = [float(logs[metric]) for logs in epochs if metric in logs]
        if self.mode != "last":  # an epoch of NaN is not the best one
            values = [value for value in values if not math.isnan(value)] or values
        return float(self._chosen(direction)(values))

    def _scores_of_one_epoch(self, epochs: Sequence[Mapping[str, float]]) -> tuple[float, ...]:
        """Metrics that this epoch has not logged are those of the one before it that has, or the next."""
        if not self.metrics:
            return ()
        first = self._score(epochs, self.metrics[0], self.directions[0])
        values = [logs.get(self.metrics[0]) for logs in epochs]
        at = values.index(first) if first in values else len(values) - 1  # all are NaN
        order = [*reversed(epochs[: at + 1]), *epochs[at + 1 :]]
        return tuple(float(next(logs[name] for logs in order if name in logs)) for name in self.metrics)

    def _chosen(self, direction: str) -> Any:
        if self.mode == "last":
            return lambda values: values[-1]
        if self.mode in ("auto", _OF_ONE_EPOCH):
            return max if direction == "maximize" else min
        return max if self.mode == "max" else min

    def is_better(self, value: float, best: float | None) -> bool:
        """Whether an epoch's value of the first metric is the one that counts so far."""
        if best is None or self.mode == "last" or math.isnan(best):
            return True
        return not math.isnan(value) and self._chosen(self.directions[0])([value, best]) != best


def metric_names(target_metric: Any) -> tuple[str, ...]:
    """The metrics that ``target_metric`` names; ``ValueError`` where it names none, or one twice."""
    is_several = isinstance(target_metric, list | tuple)
    names = tuple(target_metric) if is_several else (target_metric,)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(
            f"target_metric is {target_metric!r}; give the name of a metric, or a list of names."
        )
    if len(set(names)) < len(names):
        raise ValueError(f"target_metric names {', '.join(names)}; each metric may stand once.")
    return names


def choose_targets(
    target_metric: str | Sequence[str] | None,
    mode: str,
    compiled_metrics: Any,
    has_validation: bool,
) -> tuple[tuple[str, ...], Mode]:
    """The names of the metrics to optimise: with validation data those on it, as the old system chose."""
    if mode not in _KERAS_MODES:
        raise ValueError(f"target_metric_mode is {mode!r}; choose from {', '.join(_KERAS_MODES)}.")
    names = metric_names(_first_name(compiled_metrics) if target_metric is None else target_metric)
    if has_validation:
        names = tuple(name if name.startswith(_VALIDATION) else _VALIDATION + name for name in names)
    return names, mode  # type: ignore[return-value]


def _first_name(metrics: Any) -> str:
    """The first metric of ``compile``, the loss if there is none, or none that has a plain name."""
    first = metrics[0] if isinstance(metrics, list | tuple) and metrics else metrics
    if isinstance(first, str):
        return first
    if isinstance(first, LazyObject):
        first = first.default
    name = getattr(first, "name", None) or getattr(first, "__name__", None)
    return name if isinstance(name, str) else "loss"


def require_reported(names: Sequence[str], reported: Sequence[str], has_validation: bool) -> None:
    """``ValueError`` for a metric that the model does not report. ``reported`` is without validation."""
    known = [*reported, *(f"{_VALIDATION}{name}" for name in reported if has_validation)]
    for name in names:
        if name in known:
            continue
        if name.startswith(_VALIDATION) and not has_validation:
            raise ValueError(f"{name} needs validation data: give validation_data or validation_split.")
        raise ValueError(unknown_metric(name, known))


def unknown_metric(name: str, known: Any) -> str:
    """The line for a metric that is not there."""
    near = nearest(name, known)
    hint = f" Did you mean '{near}'?" if near else ""
    return f"There is no metric '{name}'; this model reports {', '.join(known) or 'none'}.{hint}"


def choose_directions(
    names: Sequence[str],
    direction: str | None,
    directions: Sequence[str] | None,
    natural: Mapping[str, str | None],
) -> tuple[str, ...]:
    """One direction a metric, as given or as the metric has it. ``natural`` is the model's own knowledge."""
    given = _given(names, direction, directions)
    return tuple(_direction(name, way, natural) for name, way in zip(names, given, strict=True))


def _given(
    names: Sequence[str], direction: str | None, directions: Sequence[str] | None
) -> Sequence[str | None]:
    if direction is not None and directions is not None:
        raise ValueError("Give direction or directions, not both.")
    if isinstance(directions, str):
        raise ValueError(f"directions is {directions!r}; it must be a list, as ['minimize', 'maximize'].")
    given: Sequence[str | None] = (
        list(directions)
        if directions is not None
        else [direction] * len(names)
        if direction is None
        else [direction]
    )
    if len(given) != len(names):
        raise ValueError(
            f"{len(given)} directions for {len(names)} metrics ({', '.join(names)}); give one each."
        )
    for way in given:
        if way not in (None, "minimize", "maximize"):
            raise ValueError(f"direction is {way!r}; choose from minimize, maximize.")
    return given


def _direction(name: str, given: str | None, natural: Mapping[str, str | None]) -> str:
    bare = name.removeprefix(_VALIDATION)
    own = natural.get(bare) or _by_name(bare)
    if given is None and own is None:
        raise ValueError(f"Is a larger {name} better? Give direction='maximize' or direction='minimize'.")
    if given is not None and own is not None and given != own:
        verb = "minimised" if given == "minimize" else "maximised"
        raise ValueError(f"{name} cannot be {verb}: direction='{own}' is what makes it better.")
    return given or own or "minimize"


def _by_name(name: str) -> str | None:
    """The direction that a name tells: ``out_1_accuracy``, ``mean_squared_error``, ``train/loss_epoch``."""
    words = _ALL_BUT_LETTERS.split(name.removesuffix("_epoch").removesuffix("_step"))
    ends = {"_".join(words[-length:]) for length in (1, 2)}
    if ends & _DOWN:
        return "minimize"
    return "maximize" if ends & _UP else None
