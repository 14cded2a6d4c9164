"""The searcher of a ``Trainer``: its searches one after the other, and what they have found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from bigdl.nano.automl.pytorch.searching import LightningSearched, Request, search
from bigdl.nano.automl.search.searched import BEST, cause_of_failures
from bigdl.nano.pytorch.recipe import TrainerRecipe

if TYPE_CHECKING:
    import optuna

    from orchestrator import Summary


class MadeByRecipe(Protocol):
    """A trainer of which there can be more: a ``bigdl.nano.pytorch.Trainer``."""

    @property
    def recipe(self) -> TrainerRecipe:
        """How trainers like this one are made."""


class HPOSearcher:
    """Searches hyperparameters of Lightning models with trainers like the given one.

    ``trainer`` is a ``bigdl.nano.pytorch.Trainer``; its own methods ``search``, ``search_summary`` and
    ``end_search`` are those of a searcher, which their docstrings describe.
    """

    def __init__(self, trainer: MadeByRecipe) -> None:
        if not hasattr(trainer, "recipe"):
            raise TypeError(
                f"HPOSearcher works with a Trainer of bigdl.nano.pytorch, not of {type(trainer).__module__}."
            )
        self._recipe = trainer.recipe
        self._searched: LightningSearched | None = None

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
        """See ``Trainer.search``."""
        request = Request(model, resume, target_metric, mode, n_parallels, acceleration, input_sample, kwargs)
        self._searched = search(request, self._recipe, self._searched)
        if not self._searched.summary.best_trials:
            raise ValueError(_nothing_found(self._searched.summary))
        return self._searched.best_models()

    def search_summary(self) -> optuna.Study:
        """The Optuna study of the search, with all its trials. ``ValueError`` before a search."""
        return self._require_searched().study

    def end_search(self, use_trial_id: int = BEST, use_kept_weights: bool = True) -> Any:
        """See ``Trainer.end_search``."""
        return self._require_searched().model(use_trial_id, use_kept_weights)

    def _require_searched(self) -> LightningSearched:
        if self._searched is None:
            raise ValueError("There has been no search; call search(...) first.")
        return self._searched


def _nothing_found(summary: Summary) -> str:
    counted = ", ".join(f"{n} {state.lower()}" for state, n in sorted(summary.counts.items())) or "none"
    return (
        cause_of_failures(summary) or f"No trial of the search is complete ({counted}); see search_summary()."
    )
