"""Optuna's TPE at a cost that does not grow with the history: the same sampler on a thinned study."""

from __future__ import annotations

import functools
import inspect
import threading
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.pruners import HyperbandPruner
from optuna.samplers import TPESampler
from optuna.samplers._tpe.sampler import default_weights
from optuna.trial import FrozenTrial

from orchestrator.sampling.thinned_study import ThinnedHistory, ThinnedStudy
from orchestrator.storage.study_storage import StudyStorage

SHOWN = 1000  # finished trials; from 250 on TPE's good ones are always the best 25


class FlatTPESampler(TPESampler):
    """Optuna's ``TPESampler``, with its arguments, on at most ``SHOWN`` finished trials.

    Up to 1,000 finished trials it draws what ``TPESampler`` draws. Beyond, TPE sees the trials that it takes
    for good (with one objective the best 25, exactly), an even sample of the others, and all that are
    running. What a trial sees is fixed by the history and its number (``ThinnedHistory``), and read once per
    trial, not once per parameter.

    - With several objectives TPE takes a tenth of what it sees for good: 100 trials of the first ranks.
    - Parameters sampled together are those common to the trials shown. One that a few trials of thousands
      lack is thus sampled with the others most of the time, where ``TPESampler`` would sample it alone.
    - With ``n_startup_trials`` above 1,000, so many trials are shown.

    It is ``TPESampler`` and no more, and grows with the history, on storages that are not
    ``open_storage``'s, with a ``gamma`` or ``weights`` of the caller's, and under ``HyperbandPruner``, which
    shows each trial its own bracket.
    """

    __signature__ = inspect.signature(TPESampler)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        weights = self._parzen_estimator_parameters.weights
        is_custom = self._gamma is not None or weights is not default_weights
        self._size = None if is_custom else max(SHOWN, self._n_startup_trials)
        self._views: dict[int, tuple[int, Study]] = {}  # by thread: a trial's id and what it sees

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_views": {}}

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """As TPE does; the trial will look afresh."""
        self._views.pop(threading.get_ident(), None)
        super().before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters that all trials shown have in common, where TPE samples together."""
        view = self._view(study, trial)
        if view is study or self._group or not self._is_multivariate(study):
            return super().infer_relative_search_space(view, trial)
        return {name: kind for name, kind in _common_space(view).items() if not kind.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As TPE does, from what the trial is shown."""
        return super().sample_relative(self._view(study, trial), trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """As TPE does, from what the trial is shown."""
        return super().sample_independent(self._view(study, trial), trial, param_name, param_distribution)

    def _view(self, study: Study, trial: FrozenTrial) -> Study:
        """What the trial sees, the same for all its parameters; the study itself where nothing is thinned."""
        storage = study._storage
        if (
            self._size is None
            or not isinstance(storage, StudyStorage)
            or isinstance(study.pruner, HyperbandPruner)
        ):
            return study
        thread = threading.get_ident()
        trial_id, view = self._views.get(thread, (-1, study))
        if trial_id != trial._trial_id:
            view = _thinned(study, storage, self._size, trial.number)
            self._views[thread] = trial._trial_id, view
        return view


def _thinned(study: Study, storage: StudyStorage, size: int, number: int) -> ThinnedStudy:
    history = storage.history(study._study_id)
    make = functools.partial(ThinnedHistory, study.directions, history, size)
    thinned: ThinnedHistory = history.follower((ThinnedHistory, size), make)
    return ThinnedStudy(study, thinned.shown_to(number))


def _common_space(view: Study) -> dict[str, BaseDistribution]:
    """Optuna's intersection search space. Trials share the dictionaries of their distributions, mostly."""
    trials = view.get_trials(deepcopy=False)
    spaces = [trial.distributions for trial in trials if trial.state.is_finished()]
    different = list({id(space): space for space in spaces}.values())
    if not different:
        return {}
    first, *others = different
    return {name: kind for name, kind in sorted(first.items()) if all(o.get(name) == kind for o in others)}
