"""The objective of a Keras search: a trial in; a model built, trained and scored; its values out."""

from __future__ import annotations

import copy
import inspect
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigdl.nano.automl.hpo.lazy import Lazy
from bigdl.nano.automl.hpo.objects import Arguments
from bigdl.nano.automl.hpo.parameter import Parameter
from bigdl.nano.automl.hpo.values import TrialValues
from bigdl.nano.automl.search.checkpoints import Checkpoint, checkpoint_of, continued
from bigdl.nano.automl.search.targets import Targets
from bigdl.nano.automl.search.weights import FOLDER, TemporaryFolder, keep_if_best
from bigdl.nano.automl.tf.build import KerasBuild
from bigdl.nano.automl.tf.data import FitData
from bigdl.nano.automl.tf.settings import KerasSettings

if TYPE_CHECKING:
    import optuna

Callbacks = Sequence[Any] | Callable[..., Sequence[Any]]


@dataclass(frozen=True)
class KerasObjective:
    """Everything that a trial needs, and nothing that one trial could spoil for the next.

    Model, optimizer, losses, metrics and callbacks are made anew for every trial; the data are shared and
    never written. ``keeper`` is where weights are kept when the run writes no files.
    """

    name: str  # of the model
    recipe: Lazy
    compiling: Arguments
    fitting: Arguments
    callbacks: Callbacks
    data: FitData
    targets: Targets
    definitions: Mapping[str, Parameter]
    prunes: bool
    keeps_best: bool
    verbose: Any
    keeper: TemporaryFolder
    settings: KerasSettings
    checkpoints: bool = False

    def __post_init__(self) -> None:
        """Its name for people, as a function has one: the model's, and what is optimised."""
        object.__setattr__(self, "__qualname__", f"{self.name}: {', '.join(self.targets.metrics)}")

    def __call__(self, trial: optuna.Trial) -> Any:
        """Train one version, or go on with it; the value of each target metric."""
        with checkpoint_of(trial, self.checkpoints) as checkpoint:
            return continued(checkpoint, lambda begun: self._train(trial, checkpoint, begun))

    def _train(self, trial: optuna.Trial, checkpoint: Checkpoint | None, begun: Path | None) -> Any:
        """``begun``: the checkpoint to go on from."""
        import keras

        from bigdl.nano.automl.tf.watching import Watch

        # Python's own numbers are the trial's: its stream was just begun.
        keras.utils.set_random_seed(random.getrandbits(32))
        keras.utils.clear_session()
        self.settings.apply()
        build = KerasBuild(TrialValues(trial), self.definitions)
        model, fitting = self._model(build), build.resolve(self.fitting)
        watch = Watch(trial, self.targets, self.prunes, self.keeps_best)
        followed = watch.followed
        callbacks = [*self._callbacks(trial, build), watch]
        if checkpoint is not None:
            from bigdl.nano.automl.tf.checkpoints import Checkpoints

            checkpoints = Checkpoints(checkpoint, followed, callbacks[:-1])
            callbacks.append(checkpoints)
            if begun is not None:
                fitting["initial_epoch"] = checkpoints.restore(begun, model, self.data.sample())
        try:
            model.fit(
                **{"verbose": self._verbose(trial), **self.data.arguments(), **fitting}, callbacks=callbacks
            )
        finally:
            followed.store()
        scores = self.targets.scores(followed.logs)
        if self.keeps_best:
            keep_if_best(self._folder(trial), trial, scores, followed.weights or model.get_weights())
        return scores if len(scores) > 1 else scores[0]

    def _verbose(self, trial: optuna.Trial) -> Any:
        """As asked for; else a line an epoch in a worker's log, and nothing in the caller's process."""
        if self.verbose is not None:
            return self.verbose
        return 0 if trial.study.run_dir is None else 2  # type: ignore[attr-defined]

    def _model(self, build: KerasBuild) -> Any:
        model = build.resolve(self.recipe)
        model.compile(**build.resolve(self.compiling))
        return model

    def _callbacks(self, trial: optuna.Trial, build: KerasBuild) -> list[Any]:
        """Callbacks of the trial's own: from the user's function, or copies of the user's objects."""
        if callable(self.callbacks):
            return list(_called(self.callbacks, trial) or ())
        return [build.resolve(one) if isinstance(one, Lazy) else copy.deepcopy(one) for one in self.callbacks]

    def _folder(self, trial: optuna.Trial) -> Path:
        run_dir: Path | None = trial.study.run_dir  # type: ignore[attr-defined]
        return run_dir / FOLDER if run_dir is not None else self.keeper.path


def _called(function: Callable[..., Sequence[Any]], trial: optuna.Trial) -> Sequence[Any]:
    """``callbacks=`` may be a function without arguments, or of the trial."""
    takes_trial = bool(inspect.signature(function).parameters)
    return function(trial) if takes_trial else function()
