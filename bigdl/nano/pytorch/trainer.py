"""A Lightning ``Trainer`` that can search hyperparameters."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl

from bigdl.nano.automl.pytorch.module import LazyModule
from bigdl.nano.automl.search.searched import BEST
from bigdl.nano.pytorch.arguments import modern
from bigdl.nano.pytorch.recipe import TrainerRecipe, with_own_environment

if TYPE_CHECKING:
    import optuna

    from bigdl.nano.automl.pytorch.searcher import HPOSearcher

_OWN = ("use_hpo", "use_ipex", "channels_last")


class Trainer(pl.Trainer):  # type: ignore[misc]
    """``pytorch_lightning.Trainer`` with ``search`` and ``search_summary``.

    Args:
        use_hpo: allow ``search``.
        use_ipex: optimise model and optimizer with Intel Extension for PyTorch. Where it is not installed, or
            does not go with the installed torch, a line says so and plain torch runs with the same settings.
        channels_last: store the weights of convolutions with channels last; default: with ``use_ipex``.
        **kwargs: those of ``pytorch_lightning.Trainer``; ``precision="bf16"`` is its "bf16-mixed".
            Names of Lightning 1.x and of old Nano are understood with one ``FutureWarning``, or refused with
            what replaces them (``TypeError``).

    Behind ``mpirun`` and ``srun`` each rank trains for itself, unless several devices or nodes are asked for.
    """

    def __init__(
        self,
        *,
        use_hpo: bool = False,
        use_ipex: bool = False,
        channels_last: bool | None = None,
        **kwargs: Any,
    ) -> None:
        given = modern(kwargs, _OWN)
        self.use_hpo = use_hpo
        self._recipe = TrainerRecipe.of(given, use_ipex, channels_last)
        self._recipe.say_if_ipex_is_absent()
        if self._recipe.trains_in_one_process(use_hpo):
            given["plugins"] = with_own_environment(given.get("plugins"))
        super().__init__(**self._recipe.arguments(given))

    # Search

    def search(
        self,
        model: Any,
        resume: bool = False,
        target_metric: str | Sequence[str] | None = None,
        mode: str = "best",
        n_parallels: int = 1,
        acceleration: bool = False,
        input_sample: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Train versions of the model, each in a trial with parameters of its own, and return the best one.

        Args:
            model: an object of a class decorated with ``@hpo.plmodel()``, with search spaces.
            resume: add trials to the search before: of this trainer, or in ``storage`` under ``study_name``.
                Otherwise a search starts from scratch (a stored study of that name is renamed).
            target_metric: the name of a metric that the model logs (``self.log``), default "val_loss", or a
                list of names for several objectives. "latency" is the milliseconds of a call of the trained
                model, measured on the cores of the trial.
            mode: the epoch that counts: "best", that with the best value of the (first) metric, or "last".
            n_parallels: processes, each bound to its own share of this machine's cores. With 1 and no storage
                the trials run in this process, and the study is in memory.
            acceleration: try what makes inference faster (``torch.jit``, ``torch.compile``, Intel Extension
                for PyTorch) on each trained model, and keep the fastest whose other metrics stay within 1 %;
                the trial's attribute ``optimization`` names it.
            input_sample: what the model is called with for that and for "latency", a tensor or a tuple of
                them; default: the model's ``example_input_array``, else one sample of the validation data.
            **kwargs: the data of ``fit`` (``train_dataloaders``, ``val_dataloaders``, ``datamodule``; each
                may be a function that returns it; a model may bring its own), and:

        - ``n_trials``: finished trials over all processes, exactly; ``timeout``: seconds after which no
          further trial begins. One of them is needed.
        - ``max_epochs`` of a trial; default: that of this trainer, which ``fit`` has in any case.
        - ``direction``: "minimize" or "maximize", ``directions`` for several metrics; default: as the name of
          the metric says.
        - ``sampler``: "tpe" (default), "random", "cmaes" …, a ``SamplerType`` or an Optuna sampler;
          ``sampler_kwargs``.
        - ``pruner``: none (default), "median", "hyperband" …, a ``PrunerType`` or an Optuna pruner;
          ``pruner_kwargs``.
        - ``storage``: a database URL; default with several processes: an SQLite file of the run.
          ``server``: the program of a private server (``storage="auto:mysql"``), as in ``search()``.
          ``study_name``: default: the name of the model's class.
        - ``keep_best``: keep the weights of the best trial (of the epoch that counts); the model that is
          returned has them. Otherwise it is untrained.
        - ``seed`` of the study; ``run_dir``: where the run writes. ``draw``: its report, "all" (with PNGs),
          "html" or "none".
        - ``checkpoint``: write one into the trial's folder after each epoch: a trial whose process died, or
          whose run was interrupted, goes on at its last epoch. ``max_epochs`` counts in total. Carried is
          what Lightning's own checkpoints hold (weights, optimizers, schedulers, loops, the ``state_dict``
          of callbacks), the history and the best epoch so far; data are shuffled anew, and loggers go on in
          a folder of their own. The file goes when the trial is finished. Without effect on a search in
          memory.
        - ``tune_callbacks``: called as f(study, trial) after each trial; ``show_progress_bar`` on standard
          error.
        - ``trial_timeout`` (seconds) and ``trial_memory`` (MiB) end and fail a trial that takes more;
          ``max_retries``: how often a trial is tried again whose process or node was lost; ``isolate``: every
          trial in a process of its own; ``trials_per_worker``: a new process after so many.
        - ``policy``, ``cores_per_slot``, ``smt``, ``reserve``, ``exclude``, ``core_kind``, ``mem_policy``,
          ``omp_bind``, ``dataloader_workers``, ``threads_per``, ``explain``, ``keep_binding``, ``scratch``:
          which cores and memory the processes get, and where they write, as in ``orchestrator.search``.
        - ``keep_top``: of the folders of trials those of so many best ones stay, see ``orchestrator.search``.
        - ``catch``, ``gc_after_trial``: of Optuna, for old code. Any exception fails its trial alone.

        A trial has a trainer of its own with the arguments of this one: copies of its callbacks, in which
        ``trainer.trial`` is the Optuna trial; loggers and checkpoints that write in the trial's own folder
        (in the run's directory). Progress bar, model summary and sanity check are on, and checkpoints are
        written, where this trainer was asked for them.

        Returns:
            The model with the parameters of the best trial; a list of models, one for each best trial, when
            there are several objectives.

        Raises ``ValueError`` or ``TypeError`` for an argument that does not fit, before anything runs,
        ``orchestrator.RunFailed`` when the first trials all fail alike, and ``ValueError`` when no trial is
        complete; ``search_summary`` has the study nevertheless.
        """
        if not self.use_hpo:
            raise ValueError("search needs Trainer(…, use_hpo=True).")
        return self._searcher.search(
            model, resume, target_metric, mode, n_parallels, acceleration, input_sample, **kwargs
        )

    def search_summary(self) -> optuna.Study:
        """The Optuna study of the search, with all its trials. ``ValueError`` before a search."""
        return self._searcher.search_summary()

    def end_search(self, use_trial_id: int = BEST, use_kept_weights: bool = True) -> Any:
        """A model with the parameters of a trial, by its number; -1 is the best one.

        It has the weights that the search has kept of the trial (``keep_best=True``), unless
        ``use_kept_weights`` is False.
        """
        return self._searcher.end_search(use_trial_id, use_kept_weights)

    @cached_property
    def _searcher(self) -> HPOSearcher:
        # With it comes all that reads and writes studies, which a trainer that only fits never needs.
        from bigdl.nano.automl.pytorch.searcher import HPOSearcher

        return HPOSearcher(self)

    @property
    def recipe(self) -> TrainerRecipe:
        """How trainers like this one are made."""
        return self._recipe

    # What Lightning's methods would say of a model that is not made is of no help

    def fit(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        """As Lightning's; the model is what ``search`` returned."""
        return super().fit(_made(model, "fit"), *args, **kwargs)

    def validate(self, model: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As Lightning's."""
        return super().validate(_made(model, "validate"), *args, **kwargs)

    def test(self, model: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As Lightning's."""
        return super().test(_made(model, "test"), *args, **kwargs)

    def predict(self, model: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As Lightning's."""
        return super().predict(_made(model, "predict"), *args, **kwargs)


def _made(model: Any, asked: str) -> Any:
    if isinstance(model, LazyModule):
        raise ValueError(model.refusal(asked))
    return model
