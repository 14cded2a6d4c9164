"""How trainers are made: the arguments of ``Trainer`` in; those of Lightning's, as often as needed, out."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import ClusterEnvironment, LightningEnvironment

from bigdl.nano.automl.hpo.lazy import is_lazy
from bigdl.nano.pytorch import ipex

_BF16 = {"bf16", "bf16-mixed"}
_AS_MANY_AS_THERE_ARE = (None, "auto", -1, "-1")
_ONE_PROCESS: Mapping[str, tuple[Any, ...]] = {
    "devices": (1, "1", *_AS_MANY_AS_THERE_ARE),
    "num_nodes": (None, 1),
    "strategy": (None, "auto", "single_device"),
}


@dataclass(frozen=True)
class TrainerRecipe:
    """The arguments of a trainer as they were given, under today's names, before a trainer has used them."""

    given: Mapping[str, Any]
    use_ipex: bool = False
    channels_last: bool = False

    @classmethod
    def of(cls, given: Mapping[str, Any], use_ipex: bool, channels_last: bool | None) -> TrainerRecipe:
        """Callbacks and loggers as they are now: a trainer changes those that it uses."""
        for name, value in given.items():
            if is_lazy(value):
                raise TypeError(
                    f"Trainer: {name} cannot be a search space; give it to the model: "
                    f"MyModel({name}=space.…), and use it there."
                )
        kept = {name: _as_it_is(value) for name, value in given.items()}
        return cls(kept, use_ipex, use_ipex if channels_last is None else channels_last)

    @property
    def is_bf16(self) -> bool:
        """Whether training runs in bfloat16 where that is safe (autocast)."""
        return self.given.get("precision") in _BF16

    @property
    def callbacks(self) -> Sequence[Any]:
        """Those of the user."""
        given = self.given.get("callbacks") or ()
        return given if isinstance(given, list | tuple) else (given,)

    @property
    def loggers(self) -> Sequence[Any]:
        """Those of the user."""
        given = self.given.get("logger")
        several = given if isinstance(given, list | tuple) else [given]
        return [one for one in several if isinstance(one, pl.loggers.Logger)]

    def of_several_processes(self) -> Iterator[tuple[str, Any]]:
        """The arguments that ask for more than one process, and their values."""
        for name, legal in _ONE_PROCESS.items():
            value = self.given.get(name)
            is_one = isinstance(value, list) and len(value) == 1
            if not is_one and not (isinstance(value, int | str | None) and value in legal):
                yield name, value

    def trains_in_one_process(self, use_hpo: bool) -> bool:
        """Whether nothing asks for several. Unasked, Lightning takes all GPUs; a search takes one device."""
        if any(self.of_several_processes()):
            return False
        devices = self.given.get("devices")
        is_one = devices not in _AS_MANY_AS_THERE_ARE or self.given.get("accelerator") == "cpu"
        return use_hpo or is_one or torch.cuda.device_count() <= 1

    def arguments(self, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The keywords of ``pytorch_lightning.Trainer``. ``given``: in place of the arguments as given."""
        recipe = self if given is None else replace(self, given=given)
        keywords = dict(recipe.given)
        if recipe.is_bf16:
            keywords["precision"] = "bf16-mixed"  # what Lightning makes of "bf16", with a warning
        prepare: list[Any] = []
        if self.channels_last:
            prepare.append(ipex.ChannelsLast())
        if self.use_ipex and ipex.problem() is None:
            prepare.append(ipex.Optimized(recipe.is_bf16))
        if prepare:
            keywords["callbacks"] = [*prepare, *recipe.callbacks]
        return keywords

    def say_if_ipex_is_absent(self) -> None:
        """One line where it was asked for."""
        if self.use_ipex:
            ipex.say_if_absent(self.is_bf16, self.channels_last)


def with_own_environment(plugins: Any) -> list[Any]:
    """Plugins with Lightning's own environment, unless there is one among them.

    Lightning would take the process for a task of Slurm or a rank of MPI, and refuse to train, or wait for
    the others; here these are how a search was launched. It would also initialise MPI only to ask.
    """
    several = list(plugins) if isinstance(plugins, list | tuple) else [plugins] if plugins else []
    if not any(isinstance(one, ClusterEnvironment) for one in several):
        several.append(LightningEnvironment())
    return several


def _as_it_is(value: Any) -> Any:
    """A copy of what a trainer would change; what cannot be copied is itself, and a search will say so."""
    several = value if isinstance(value, list | tuple) else [value]
    if not any(isinstance(one, pl.Callback | pl.loggers.Logger) for one in several):
        return value
    try:  # together: a callback may know another one
        return copy.deepcopy(value)
    except Exception:
        return value
