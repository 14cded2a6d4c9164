"""The objective of a Lightning search: a trial in; a model trained and scored; its values out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigdl.nano.automl.hpo.lazy import Build, Lazy
from bigdl.nano.automl.hpo.parameter import Parameter
from bigdl.nano.automl.hpo.values import TrialValues
from bigdl.nano.automl.pytorch.data import LightningData
from bigdl.nano.automl.search.checkpoints import Checkpoint, checkpoint_of, continued
from bigdl.nano.automl.search.targets import Targets
from bigdl.nano.automl.search.weights import FOLDER, TemporaryFolder, keep_if_best
from bigdl.nano.pytorch.recipe import TrainerRecipe

if TYPE_CHECKING:
    import optuna

_LARGE_BYTES = 8 * 2**20
LATENCY = "latency"  # a target that is measured, not logged


@dataclass(frozen=True)
class LightningObjective:
    """Everything that a trial needs, and nothing that one trial could spoil for the next.

    Model, trainer, callbacks and loaders are made anew for every trial; the data are shared and never
    written. ``keeper`` is where weights are kept when the run writes no files.
    """

    name: str  # of the model
    model: Lazy
    data: LightningData
    trainer: TrainerRecipe
    targets: Targets
    definitions: Mapping[str, Parameter]
    max_epochs: int | None
    prunes: bool
    keeps_best: bool
    accelerates: bool
    input_sample: Any
    collects: bool  # garbage after each trial, also in the caller's process
    keeper: TemporaryFolder
    checkpoints: bool = False

    def __post_init__(self) -> None:
        """Its name for people, as a function has one: the model's, and what is optimised."""
        object.__setattr__(self, "__qualname__", f"{self.name}: {', '.join(self.targets.metrics)}")

    def __call__(self, trial: optuna.Trial) -> Any:
        """Train one version, or go on with it; the value of each target."""
        from bigdl.nano.automl.pytorch.conditions import own_signals, prepare_worker, quiet, release
        from bigdl.nano.automl.pytorch.trial_trainer import TrialFolder

        run_dir: Path | None = trial.study.run_dir  # type: ignore[attr-defined]
        if run_dir is not None:  # in a process of the search's own
            prepare_worker()
        folder = TrialFolder(run_dir, trial.number)
        with checkpoint_of(trial, self.checkpoints) as checkpoint:

            def train(begun: Path | None) -> tuple[tuple[float, ...], bool]:
                training = _Training(self, trial, folder, checkpoint, begun)
                return training.scores(), self.collects or training.is_large

            try:
                with quiet(), own_signals():
                    scores, is_large = continued(checkpoint, train)
            finally:
                folder.remove_empty()
        release(everywhere=is_large)
        return scores if len(scores) > 1 else scores[0]

    @property
    def logged(self) -> Targets:
        """The targets that training logs."""
        pairs = zip(self.targets.metrics, self.targets.directions, strict=True)
        kept = [(metric, direction) for metric, direction in pairs if metric != LATENCY]
        metrics, directions = zip(*kept, strict=True) if kept else ((), ())
        return Targets(metrics, directions, self.targets.mode)


class _Training:
    """One trial: its model, its trainer and what comes of them. ``begun``: the checkpoint to go on from."""

    def __init__(
        self,
        objective: LightningObjective,
        trial: optuna.Trial,
        folder: Any,
        checkpoint: Checkpoint | None,
        begun: Path | None,
    ) -> None:
        self.objective, self.trial, self.folder = objective, trial, folder
        self.checkpoint, self.begun = checkpoint, begun
        self.build = Build(TrialValues(trial), objective.definitions)
        self.model = self.build.resolve(objective.model)

    @property
    def is_large(self) -> bool:
        """Whether the model is worth a collection of garbage: trainer and model hold each other."""
        return bool(sum(one.nbytes for one in self.model.parameters()) >= _LARGE_BYTES)

    def scores(self) -> tuple[float, ...]:
        """Train and measure."""
        objective = self.objective
        logged, weights = self._train()
        scores = dict(zip(objective.logged.metrics, logged, strict=True))
        if objective.accelerates or LATENCY in objective.targets.metrics:
            scores[LATENCY] = self._latency_ms()
        values = tuple(scores[name] for name in objective.targets.metrics)
        if objective.keeps_best:
            run_dir = self.trial.study.run_dir  # type: ignore[attr-defined]
            folder = run_dir / FOLDER if run_dir is not None else objective.keeper.path
            keep_if_best(folder, self.trial, values, weights())
        return values

    def _train(self) -> tuple[tuple[float, ...], Callable[[], list[Any]]]:
        """The values of the metrics that are logged, and the weights of the epoch that counts."""
        from bigdl.nano.automl.pytorch.checkpoints import Checkpoints
        from bigdl.nano.automl.pytorch.conditions import Threads, prepare_in_turn
        from bigdl.nano.automl.pytorch.state import packed, state_of
        from bigdl.nano.automl.pytorch.trial_trainer import make_trainer
        from bigdl.nano.automl.pytorch.watching import Watch

        objective = self.objective
        reports = len(objective.targets.metrics) == len(objective.logged.metrics) == 1
        watch = Watch(self.trial, objective.logged, reports, objective.prunes, objective.keeps_best)
        threads = Threads()
        run_dir = self.trial.study.run_dir  # type: ignore[attr-defined]
        checkpoints = Checkpoints(self.checkpoint, watch) if self.checkpoint is not None else None
        ours = [watch, *([threads] if run_dir is not None else []), *([checkpoints] if checkpoints else [])]
        self.trainer = make_trainer(objective.trainer, self.trial, self.folder, objective.max_epochs, ours)
        try:
            data = objective.data.for_trial(self.build)
            if run_dir is not None:
                prepare_in_turn(run_dir, self.model, data.get("datamodule"))
            if checkpoints is None:
                self.trainer.fit(self.model, **data)
            else:
                checkpoints.fit(self.trainer, self.model, data, self.begun)
        finally:
            threads.restore()
            watch.followed.store()
        if self.trainer.interrupted:  # Lightning before 2.2 only says so
            raise KeyboardInterrupt
        scores = objective.logged.scores(watch.followed.logs)
        return scores, lambda: watch.followed.weights or packed(state_of(self.model))

    # Latency

    def _latency_ms(self) -> float:
        from bigdl.nano.automl.pytorch.acceleration import choose
        from bigdl.nano.automl.pytorch.inputs import inputs_for
        from bigdl.nano.automl.pytorch.latency import measure

        precision = self.trainer.precision_plugin
        inputs = precision.convert_input(inputs_for(self.model, self.objective.input_sample, self.trainer))
        context = precision.forward_context
        self.model.eval()
        if not self.objective.accelerates:
            with context():
                latency = measure(lambda: self.model(*inputs))
        else:
            logged = self.objective.logged
            directions = dict(zip(logged.metrics, logged.directions, strict=True))
            is_bf16 = self.objective.trainer.is_bf16
            choice = choose(self.model, inputs, self._validated, directions, context, is_bf16)
            latency = choice.latency
            self.trial.set_user_attr("optimization", choice.name)
            self.trial.set_user_attr("optimizations", dict(choice.tried))
        self.trial.set_user_attr(LATENCY, latency.as_json())
        return latency.mean_ms

    def _validated(self) -> dict[str, float]:
        """The metrics of the model as it is; none where there are no validation data."""
        from bigdl.nano.automl.pytorch.trial_trainer import make_evaluator

        if not self.trainer.enable_validation:
            return {}
        data = self.objective.data.for_trial(self.build)
        data.pop("train_dataloaders", None)
        loaders = data.pop("val_dataloaders", None)
        trainer = make_evaluator(self.objective.trainer, self.trial, self.folder)
        trainer.validate(self.model, dataloaders=loaders, verbose=False, **data)
        return {name: float(value) for name, value in trainer.callback_metrics.items()}
