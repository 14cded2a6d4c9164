"""A search over a Keras model: recipe and arguments of ``search`` in; run; what is needed afterwards out."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bigdl.nano.automl.hpo.lazy import Lazy
from bigdl.nano.automl.hpo.objects import Arguments
from bigdl.nano.automl.hpo.parameter import Parameter
from bigdl.nano.automl.hpo.sharing import last_definitions, warn_of_shared_names
from bigdl.nano.automl.search.checkpoints import remove_leftovers
from bigdl.nano.automl.search.options import SearchOptions, split_arguments
from bigdl.nano.automl.search.searched import (
    cause_of_failures,
    folders_of_weights,
    stays_here,
    study_to_use,
)
from bigdl.nano.automl.search.targets import Targets, choose_directions, choose_targets, require_reported
from bigdl.nano.automl.search.weights import TemporaryFolder
from bigdl.nano.automl.tf.data import DATA, FitData
from bigdl.nano.automl.tf.kept import keep, kept
from bigdl.nano.automl.tf.objective import Callbacks, KerasObjective
from bigdl.nano.automl.tf.probing import probe
from bigdl.nano.automl.tf.searched import KerasSearched
from bigdl.nano.automl.tf.settings import KerasSettings

_WORDS = ("resume", "target_metric", "n_parallels", "target_metric_mode")
_SEE = "See help(model.search) and help(keras.Model.fit)."


@dataclass(frozen=True)
class Subject:
    """The model that is searched: what it is made of, how it is compiled, what it will be and its name."""

    recipe: Lazy
    compiling: Arguments
    kind: type
    name: str


@dataclass(frozen=True)
class Request:
    """What ``search`` was asked: its four arguments of the old system, and all others."""

    resume: bool
    target_metric: str | Sequence[str] | None
    n_parallels: Any
    target_metric_mode: str
    others: Mapping[str, Any]


def search(subject: Subject, request: Request, earlier: KerasSearched | None) -> KerasSearched:
    """Check everything, run the trials, return what came out.

    Raises ``ValueError`` or ``TypeError`` (or the orchestrator's ``UserError``) before anything runs.
    """
    import orchestrator

    options, fit = split_arguments(request.others, subject.kind.fit, _WORDS, _SEE)  # type: ignore[attr-defined]
    if options.checkpoint:
        _require_initial_epoch(subject.kind)
    where = study_to_use(request.resume, options, earlier, subject.name)
    callbacks = _callbacks(fit.pop("callbacks", None))
    verbose = fit.pop("verbose", None)
    data, fitting = FitData.of(fit), _fitting(fit)
    recipes = _recipes(subject, fitting, callbacks)
    warn_of_shared_names(*recipes)
    definitions = last_definitions(*recipes)
    _require_sendable(data, request.n_parallels, where, options)
    targets = _targets(subject, request, options, data, definitions, callbacks)
    keeper = earlier.keeper if request.resume and earlier is not None else TemporaryFolder()
    objective = KerasObjective(
        subject.name,
        subject.recipe,
        subject.compiling,
        fitting,
        callbacks,
        data,
        targets,
        definitions,
        options.prunes,
        options.keep_best,
        verbose,
        keeper,
        KerasSettings.now(),
        options.checkpoint,
    )
    summary = orchestrator.search(
        objective,
        directions=targets.directions,
        metric_names=targets.metric_names,
        **where,
        **options.for_orchestrator(request.n_parallels, definitions),
    )
    if options.checkpoint:
        remove_leftovers(summary)
    folders = folders_of_weights(summary, keeper, earlier if request.resume else None, options.keep_best)
    cause = cause_of_failures(summary)
    if cause is not None:
        warnings.warn(cause, stacklevel=3)
    return KerasSearched(
        summary=summary,
        keeps_best=options.keep_best,
        folders=folders,
        keeper=keeper,
        fitting=fitting,
        sample=data.sample(),
    )


def _require_initial_epoch(kind: Any) -> None:
    parameters = inspect.signature(kind.fit).parameters
    takes_all = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    if "initial_epoch" not in parameters and not takes_all:
        raise ValueError(
            f"checkpoint=True: {kind.__name__}.fit takes no initial_epoch, so no training can go on with it; "
            "give it that argument of keras.Model.fit, or leave out checkpoint."
        )


def _callbacks(given: Any) -> Callbacks:
    if given is None:
        return ()
    if callable(given) and not hasattr(given, "set_model") and not isinstance(given, Lazy):
        return given  # type: ignore[no-any-return]
    callbacks = tuple(given) if isinstance(given, list | tuple) else (given,)
    for one in callbacks:
        _require_copyable(one)
    return callbacks


def _require_copyable(callback: Any) -> None:
    """Every trial has a copy of its own."""
    try:
        copy.deepcopy(callback)
    except Exception as error:
        name = type(callback).__name__
        raise TypeError(
            f"Callback {name} cannot be copied for each trial ({error}); give a function that makes it: "
            f"callbacks=lambda: [{name}(...)]."
        ) from error


def _fitting(fit: Mapping[str, Any]) -> Arguments:
    """The arguments of ``fit`` that are no data."""
    fitting = Arguments(kept({name: value for name, value in fit.items() if name not in DATA}))
    keep(fitting)
    return fitting


def _recipes(subject: Subject, fitting: Arguments, callbacks: Callbacks) -> list[Lazy]:
    keep(subject.recipe)
    lazy = [one for one in callbacks if isinstance(one, Lazy)] if not callable(callbacks) else []
    return [subject.recipe, subject.compiling, fitting, *lazy]


def _require_sendable(
    data: FitData, n_parallels: Any, where: Mapping[str, Any], options: SearchOptions
) -> None:
    if stays_here(n_parallels, where, options):
        return
    unsendable = data.unsendable()
    if unsendable:
        raise ValueError(
            f"{unsendable}, which cannot go to other processes; give a function that returns it, arrays, "
            "or n_parallels=1 without storage."
        )


def _targets(
    subject: Subject,
    request: Request,
    options: SearchOptions,
    data: FitData,
    definitions: Mapping[str, Parameter],
    callbacks: Callbacks,
) -> Targets:
    """Metrics and directions, checked against what the model reports."""
    compiled = subject.compiling.kwargs.get("metrics")
    names, mode = choose_targets(
        request.target_metric, request.target_metric_mode, compiled, data.has_validation
    )
    report = probe(subject.recipe, subject.compiling, definitions, data.sample())
    if report is not None and not report.may_report_more and not _may_add_metrics(callbacks):
        require_reported(names, report.names, data.has_validation)
    natural = report.directions if report is not None else {}
    directions = choose_directions(names, options.direction, options.directions, natural)
    if len(names) > 1 and options.prunes:
        raise ValueError("A search of several metrics cannot be pruned; leave out pruner.")
    return Targets(names, directions, mode)


def _may_add_metrics(callbacks: Callbacks) -> bool:
    """Whether callbacks may put names of their own among what is reported, as those of Keras do not."""
    return callable(callbacks) or any(not type(one).__module__.startswith("keras.") for one in callbacks)
