"""The user's functions that are called after each trial: a finished trial in, calls of them out."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from orchestrator.sql.failures import is_storage_failure

log = logging.getLogger("nano_hpo")


class Callbacks:
    """Calls each function as ``f(study, frozen_trial)``, as Optuna's ``Study.optimize`` does.

    ``note`` hears, once for each function, that it raised an exception; the traceback is in the log. The
    search goes on, and so do the calls. A failure of the study's database, which is not theirs, is raised.
    """

    def __init__(self, functions: Sequence[Callable[..., Any]], note: Callable[[str], None]) -> None:
        self._functions = functions
        self._note = note
        self._failed: set[int] = set()  # places of those that have raised

    def call(self, study: optuna.Study, trial_id: int) -> None:
        """A trial was finished in this process and is stored."""
        if not self._functions:
            return
        finished = study._storage.get_trial(trial_id)
        for place, function in enumerate(self._functions):
            try:
                function(study, copy.deepcopy(finished))
            except (Exception, SystemExit) as error:
                if is_storage_failure(error):
                    raise
                self._say(place, function, finished, error)

    def _say(self, place: int, function: Any, trial: FrozenTrial, error: BaseException) -> None:
        if place in self._failed:
            return
        self._failed.add(place)
        name = getattr(function, "__qualname__", type(function).__qualname__)
        log.error("Callback %s raised after trial %d:", name, trial.number, exc_info=error)
        said = " ".join(f"{type(error).__name__}: {error}".split())
        self._note(f"Callback {name} raised {said}; the search goes on.")
