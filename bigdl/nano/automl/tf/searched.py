"""What a search of a Keras model leaves behind: all that makes a model of one of its trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bigdl.nano.automl.hpo.lazy import is_lazy
from bigdl.nano.automl.hpo.objects import Arguments
from bigdl.nano.automl.search.searched import Searched

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


@dataclass(frozen=True, kw_only=True)
class KerasSearched(Searched):
    """A search of a Keras model."""

    fitting: Arguments
    sample: Mapping[str, Any] | None = field(repr=False)

    @property
    def searched_arguments(self) -> Arguments:
        """The arguments of ``fit`` that were searched."""
        return Arguments({key: value for key, value in self.fitting.kwargs.items() if is_lazy(value)})

    def load_weights(self, model: Any, trial: FrozenTrial) -> bool:
        """Set the weights that were kept of the trial; False when there are none."""
        weights = self.weights(trial)
        if weights is None:
            return False
        if not model.built and self.sample is not None:
            model.evaluate(**self.sample, verbose=0)
        model.set_weights(weights)
        return True
