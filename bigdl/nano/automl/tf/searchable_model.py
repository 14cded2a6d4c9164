"""A Keras model that is searched before it is made: a recipe in; a search, then a Keras model, out."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bigdl.nano.automl.hpo.lazy import Lazy, Values
from bigdl.nano.automl.hpo.objects import Arguments
from bigdl.nano.automl.hpo.sharing import last_definitions, parameters_in
from bigdl.nano.automl.hpo.symbols import has_symbol, record
from bigdl.nano.automl.hpo.values import DefaultValues, StoredValues
from bigdl.nano.automl.search.searched import BEST
from bigdl.nano.automl.tf.build import KerasBuild
from bigdl.nano.automl.tf.kept import keep, kept
from orchestrator.names import shown_name

if TYPE_CHECKING:
    import optuna

    from bigdl.nano.automl.tf.searched import KerasSearched


class NotReadyError(AttributeError, ValueError):
    """The model is not made: its search has not been run."""


class SearchableModel:
    """What ``Sequential``, ``Model`` and ``@hpo.tfmodel()`` classes make.

    ``compile``, ``search``, ``search_summary``, ``end_search`` and ``fit`` are its own. All else
    (``evaluate``, ``predict``, ``summary``, ``save``, ``get_layer`` …) is that of the Keras model, which is
    ``keras_model``: made with the best trial's parameters after a search, and at once where there is nothing
    to search.
    """

    def __init__(self, recipe: Lazy, kind: type, name: str) -> None:
        self._recipe = recipe
        self._kind: Any = kind  # the Keras class that is to be
        self._name = name
        self._compiling: Arguments | None = None
        self._searched: KerasSearched | None = None
        self._values: Values | None = None  # the parameters of the model that was made
        self._made: Any = None

    # In a recipe

    def __lazy__(self) -> Lazy:
        """What it is as a part of another model."""
        return self._recipe

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Use it as a layer of a functional model; on data, call the Keras model."""
        if has_symbol((args, kwargs)):
            return record(self._recipe, args, kwargs)
        return self.keras_model(*args, **kwargs)

    # Compile

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """As ``keras.Model.compile``; spaces may stand in arguments of the optimizer and elsewhere."""
        names = list(inspect.signature(self._kind.compile).parameters)[1:]
        if len(args) > len(names):
            raise TypeError(f"compile takes {len(names)} arguments; {len(args)} were given.")
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        inspect.signature(self._kind.compile).bind(None, **given)
        self._compiling = Arguments(kept(given))
        keep(self._compiling)
        if self._made is not None:
            assert self._values is not None
            self._made.compile(**self._build(self._values).resolve(self._compiling))

    # Search

    def search(
        self,
        resume: bool = False,
        target_metric: str | Sequence[str] | None = None,
        n_parallels: int = 1,
        target_metric_mode: str = "last",
        **kwargs: Any,
    ) -> None:
        """Run trials, each with parameters of its own, and find those that optimise ``target_metric``.

        Args:
            resume: add trials to the search before: of this object, or in ``storage`` under ``study_name``.
                Otherwise a search starts from scratch (a stored study of that name is renamed).
            target_metric: the name of a metric as Keras reports it, or a list of names for several
                objectives; with validation data, that on it (``val_…``). Default: the first metric of
                ``compile``, else the loss.
            n_parallels: processes, each bound to its own share of this machine's cores. With 1 and no storage
                the trials run in this process, and the study is in memory.
            target_metric_mode: the epoch that counts: "last", that with the "max" or "min" value, or "auto",
                the best by the direction.
            **kwargs: every argument of ``fit`` (``batch_size`` and ``epochs`` may be spaces; ``x`` may be a
                function that returns a dataset, ``callbacks`` one that returns callbacks), and:

        - ``n_trials``: finished trials over all processes, exactly; ``timeout``: seconds after which no
          further trial begins. One of them is needed.
        - ``direction``: "minimize" or "maximize", ``directions`` for several metrics; default: what makes the
          metric better.
        - ``sampler``: "tpe" (default), "random", "cmaes" …, a ``SamplerType`` or an Optuna sampler;
          ``sampler_kwargs``.
        - ``pruner``: none (default), "median", "hyperband" …, a ``PrunerType`` or an Optuna pruner;
          ``pruner_kwargs``.
        - ``storage``: a database URL; default with several processes: an SQLite file of the run.
          ``server``: the program of a private server (``storage="auto:mysql"``), as in ``search()``.
          ``study_name``: default: the model's name.
        - ``keep_best``: keep the weights of the best trial, for ``fit`` and ``evaluate`` to begin with.
        - ``seed`` of the study; ``run_dir``: where the run writes. ``draw``: its report, "all" (with PNGs),
          "html" or "none".
        - ``checkpoint``: write one into the trial's folder after each epoch: a trial whose process died, or
          whose run was interrupted, goes on at its last epoch. ``epochs`` counts in total. Carried are the
          weights, optimizers with their schedules, the history, and what EarlyStopping, ReduceLROnPlateau
          and ModelCheckpoint have counted; other callbacks, and attributes of a model that are no variables,
          begin anew. Data are shuffled anew, those of a ``tf.data.Dataset`` as it does by itself, from its
          beginning. The file goes when the trial is finished. Without effect on a search in memory.
        - ``tune_callbacks``: called as f(study, trial) after each trial; ``show_progress_bar`` on standard
          error.
        - ``trial_timeout`` (seconds) and ``trial_memory`` (MiB) end and fail a trial that takes more;
          ``max_retries``: how often a trial is tried again whose process or node was lost; ``isolate``: every
          trial in a process of its own; ``trials_per_worker``: a new process after so many.
        - ``policy``, ``cores_per_slot``, ``smt``, ``reserve``, ``exclude``, ``core_kind``, ``mem_policy``,
          ``omp_bind``, ``dataloader_workers``, ``threads_per``, ``explain``, ``keep_binding``, ``scratch``:
          which cores and memory the processes get, and where they write, as in ``orchestrator.search``.
        - ``keep_top``: of the folders of trials those of so many best ones stay, see ``orchestrator.search``.
        - ``catch``, ``gc_after_trial``: of Optuna, for old code. Any exception fails its trial alone, and
          garbage is collected after each trial; what TensorFlow keeps goes with a worker process.

        Raises ``ValueError`` or ``TypeError`` for an argument that does not fit, before anything runs, and
        ``orchestrator.RunFailed`` when the first trials all fail alike.
        """
        from bigdl.nano.automl.tf.searching import Request, Subject, search

        subject = Subject(self._recipe, self._require_compiled("search"), self._kind, self._name)
        request = Request(resume, target_metric, n_parallels, target_metric_mode, kwargs)
        self._searched = search(subject, request, self._searched)
        self._made = self._values = None

    def search_summary(self) -> optuna.Study:
        """The Optuna study of the search, with all its trials. ``ValueError`` before a search."""
        return self._require_searched().study

    def end_search(self, use_trial_id: int = BEST, use_kept_weights: bool = True) -> None:
        """Make the model with the parameters of a trial, by its number; -1 is the best one.

        Weights that the search has kept of it (``keep_best=True``) are loaded.
        """
        searched = self._require_searched()
        trial = searched.trial(use_trial_id)
        self._values = StoredValues(trial.params, f"Trial {trial.number}")
        self._made = self._compiled(self._values)
        if use_kept_weights:
            searched.load_weights(self._made, trial)

    # Fit

    def fit(
        self,
        *args: Any,
        use_trial_id: int | None = None,
        use_kept_weights: bool = True,
        **kwargs: Any,
    ) -> Any:
        """Train with the best parameters of the search, or those of trial ``use_trial_id``.

        The arguments are those of Keras's ``fit``; ``batch_size`` and ``epochs`` that were searched are the
        trial's where they are not given. Weights that the search has kept are where it begins, unless
        ``use_kept_weights`` is False. Raises ``ValueError`` when there are search spaces and no search.
        """
        if use_trial_id is not None or (self._made is None and self._searched is not None):
            self.end_search(BEST if use_trial_id is None else use_trial_id, use_kept_weights)
        model = self._keras_model("fit")
        by_position = list(inspect.signature(model.fit).parameters)[: len(args)]
        searched = {key: value for key, value in self._searched_arguments().items() if key not in by_position}
        return model.fit(*args, **{**searched, **kwargs})

    def _searched_arguments(self) -> dict[str, Any]:
        """Arguments of ``fit`` that were searched, as the trial had them whose parameters the model has."""
        if self._searched is None or self._values is None:
            return {}
        resolved: dict[str, Any] = self._build(self._values).resolve(self._searched.searched_arguments)
        return resolved

    # The Keras model

    @property
    def keras_model(self) -> Any:
        """The Keras model. ``NotReadyError`` when there is something to search and no search has been."""
        return self._keras_model("keras_model")

    def _keras_model(self, asked: str) -> Any:
        if self._made is None and self._searched is not None:
            self.end_search()
        elif self._made is None:
            self._refuse_spaces(asked)
            self._values = DefaultValues()
            self._made = self._compiled(self._values) if self._compiling else self._built(self._values)
        return self._made

    def _refuse_spaces(self, asked: str) -> None:
        names = self._open_names()
        if names:
            raise NotReadyError(
                f"{asked}: nothing has been chosen for {', '.join(names)}; call search(...) first, or give "
                "values in place of search spaces."
            )

    def _open_names(self) -> list[str]:
        """The names of all that is to be chosen."""
        return sorted({shown_name(name) for one in self._recipes() for name, _, _ in parameters_in(one)})

    def _recipes(self) -> list[Lazy]:
        fitting = self._searched.fitting if self._searched is not None else None
        return [one for one in (self._recipe, self._compiling, fitting) if one is not None]

    def _build(self, values: Values) -> KerasBuild:
        return KerasBuild(values, last_definitions(*self._recipes()))

    def _built(self, values: Values) -> Any:
        keep(self._recipe)
        return self._build(values).resolve(self._recipe)

    def _compiled(self, values: Values) -> Any:
        keep(self._recipe)
        build = self._build(values)
        model = build.resolve(self._recipe)
        model.compile(**build.resolve(self._require_compiled("fit")))
        return model

    def _require_compiled(self, asked: str) -> Arguments:
        if self._compiling is None:
            raise ValueError(f"{asked}: the model is not compiled; call compile(...) first.")
        return self._compiling

    def _require_searched(self) -> KerasSearched:
        if self._searched is None:
            raise ValueError("There has been no search; call search(...) first.")
        return self._searched

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        if name == "keras_model":  # the property raised an AttributeError of ours: say it again
            return self._keras_model(name)
        is_open = self._made is None and self._searched is None and bool(self._open_names())
        if is_open and not hasattr(self._kind, name):
            raise AttributeError(f"{self!r} has no attribute {name!r}; neither has {self._kind.__name__}.")
        return getattr(self._keras_model(name), name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        else:
            setattr(self._keras_model(name), name, value)

    def __getstate__(self) -> dict[str, Any]:
        if self._searched is not None:
            raise TypeError(
                "A model that was searched holds its study and cannot be copied or pickled; keras_model, the "
                "Keras model that was made, can be saved."
            )
        return self.__dict__

    def __repr__(self) -> str:
        return f"<searchable {self._kind.__name__} {self._name!r}>"
