"""A search over a Lightning model: what ``search`` was asked in; run; what is needed afterwards out."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch

from bigdl.nano.automl.hpo.lazy import Build, Lazy
from bigdl.nano.automl.hpo.objects import name_of
from bigdl.nano.automl.hpo.parameter import Parameter
from bigdl.nano.automl.hpo.sharing import last_definitions, warn_of_shared_names
from bigdl.nano.automl.hpo.values import StoredValues
from bigdl.nano.automl.pytorch.copies import require_copyable
from bigdl.nano.automl.pytorch.data import LightningData
from bigdl.nano.automl.pytorch.module import LazyModule, require_module
from bigdl.nano.automl.pytorch.objective import LATENCY, LightningObjective
from bigdl.nano.automl.pytorch.state import load_weights
from bigdl.nano.automl.pytorch.trial_trainer import require_one_process
from bigdl.nano.automl.search.checkpoints import remove_leftovers
from bigdl.nano.automl.search.options import SearchOptions, split_arguments
from bigdl.nano.automl.search.searched import Searched, folders_of_weights, study_to_use
from bigdl.nano.automl.search.targets import Targets, choose_directions, metric_names
from bigdl.nano.automl.search.weights import TemporaryFolder
from bigdl.nano.pytorch.recipe import TrainerRecipe

_MODES = ("best", "last")
_DEFAULT_METRIC = "val_loss"
_WORDS = ("model", "resume", "target_metric", "mode", "n_parallels", "acceleration", "input_sample")
_SEE = "See help(trainer.search)."


@dataclass(frozen=True)
class Request:
    """What ``search`` was asked: its arguments of the old system, and all others."""

    model: Any
    resume: bool
    target_metric: str | Sequence[str] | None
    mode: str
    n_parallels: Any
    acceleration: bool
    input_sample: Any
    others: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class LightningSearched(Searched):
    """A search of a Lightning model."""

    recipe: LazyModule
    definitions: Mapping[str, Parameter]

    def model(self, number: int, use_kept_weights: bool = True) -> Any:
        """A module with the parameters of a trial, by its number; -1 is the best one."""
        trial = self.trial(number)
        module = Build(StoredValues(trial.params, f"Trial {trial.number}"), self.definitions).resolve(
            self.recipe
        )
        weights = self.weights(trial) if use_kept_weights and self.keeps_best else None
        if weights is not None:
            self._load(module, weights, trial.number)
        return module

    def _load(self, module: Any, weights: list[Any], number: int) -> None:
        """Layers that are made in ``setup``, or changed by a callback, are not there before a training."""
        try:
            load_weights(module, weights)
        except ValueError as reason:
            warnings.warn(
                f"The weights that are kept of trial {number} do not fit a new {self.recipe.label} "
                f"({reason}): the model is untrained.",
                stacklevel=4,
            )

    def best_models(self) -> Any:
        """The module of the best trial; of several objectives a list, one for each best trial."""
        if len(self.study.directions) == 1:
            return self.model(self.trial(-1).number)
        return [self.model(trial.number) for trial in self.summary.best_trials]


def search(request: Request, trainer: TrainerRecipe, earlier: LightningSearched | None) -> LightningSearched:
    """Check everything, run the trials, return what came out.

    Raises ``ValueError`` or ``TypeError`` (or the orchestrator's ``UserError``) before anything runs.
    """
    import orchestrator

    model = require_module(request.model)
    _check_flags(request)
    options, fit = split_arguments(request.others, _fit, _WORDS, _SEE)
    max_epochs = _checked_epochs(fit.pop("max_epochs", None))
    data = LightningData.of(fit)
    _require_training_data(model, data)
    _check_trainer(trainer)
    name = name_of(model.target).lower()
    where = study_to_use(request.resume, options, earlier, name)
    recipes: list[Lazy] = [model, *data.lazy()]
    warn_of_shared_names(*recipes)
    definitions = last_definitions(*recipes)
    keeper = earlier.keeper if request.resume and earlier is not None else TemporaryFolder()
    objective = LightningObjective(
        name=name,
        model=model,
        data=data,
        trainer=trainer,
        targets=_targets(request, options),
        definitions=definitions,
        max_epochs=max_epochs,
        prunes=options.prunes,
        keeps_best=options.keep_best,
        accelerates=request.acceleration,
        input_sample=_checked_sample(request.input_sample),
        collects=options.gc_after_trial,
        keeper=keeper,
        checkpoints=options.checkpoint,
    )
    summary = orchestrator.search(
        objective,
        directions=objective.targets.directions,
        metric_names=objective.targets.metric_names,
        **where,
        **options.for_orchestrator(request.n_parallels, definitions),
    )
    if options.checkpoint:
        remove_leftovers(summary)
    folders = folders_of_weights(summary, keeper, earlier if request.resume else None, options.keep_best)
    return LightningSearched(
        summary=summary,
        keeps_best=options.keep_best,
        folders=folders,
        keeper=keeper,
        recipe=model,
        definitions=definitions,
    )


def _fit(
    self: Any,
    train_dataloaders: Any = None,
    val_dataloaders: Any = None,
    datamodule: Any = None,
    max_epochs: int | None = None,
) -> None:
    """The arguments of a trial's training."""


def _checked_epochs(given: Any) -> int | None:
    is_number = isinstance(given, int) and not isinstance(given, bool)
    if given is None or (is_number and (given >= 1 or given == -1)):
        return given  # type: ignore[no-any-return]
    raise ValueError(f"max_epochs is {given!r}; give a number of epochs from 1 on.")


def _require_training_data(model: LazyModule, data: LightningData) -> None:
    own = getattr(model.target, "train_dataloader", None)
    brings_own = own is not pl.LightningModule.train_dataloader
    if not brings_own and data.train_dataloaders is None and data.datamodule is None:
        raise ValueError(
            f"There are no training data: give train_dataloaders or datamodule, or {model.label} a method "
            "train_dataloader()."
        )


def _check_flags(request: Request) -> None:
    for name in ("resume", "acceleration"):
        value = getattr(request, name)
        if not isinstance(value, bool):
            raise TypeError(f"{name} is {value!r}; it must be True or False.")


def _check_trainer(trainer: TrainerRecipe) -> None:
    require_one_process(trainer)
    if trainer.given.get("barebones"):
        raise ValueError("A trainer with barebones=True logs no metric, so nothing can be optimised.")
    for one in (*trainer.callbacks, *trainer.loggers):
        require_copyable(one, "it must be one that copy.deepcopy can copy")


def _targets(request: Request, options: SearchOptions) -> Targets:
    if request.mode not in _MODES:
        raise ValueError(f"mode is {request.mode!r}; choose from {', '.join(_MODES)}.")
    given = request.target_metric
    names = metric_names(_DEFAULT_METRIC if given is None else given)
    directions = choose_directions(names, options.direction, options.directions, {LATENCY: "minimize"})
    if options.prunes and (len(names) > 1 or names == (LATENCY,)):
        what = "several metrics" if len(names) > 1 else "latency alone"
        raise ValueError(f"A search of {what} cannot be pruned; leave out pruner.")
    return Targets(names, directions, request.mode)  # type: ignore[arg-type]


def _checked_sample(given: Any) -> Any:
    parts = given if isinstance(given, tuple | list) else [given]
    if given is None or (parts and all(isinstance(part, torch.Tensor) for part in parts)):
        return given
    raise TypeError(f"input_sample is a {type(given).__name__}; give a tensor, or a tuple of tensors.")
