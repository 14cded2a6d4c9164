"""What a command may know of its trial: a trial in; the names of the template, and variables, out."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import optuna

from orchestrator.errors import SpecError
from orchestrator.sampling.streams import stream_seed
from orchestrator.trial_folder import last_checkpoint, trial_dir

NAMES = ("trial", "trial_dir", "result", "seed")  # beside the parameters, of which one may have such a name
_PARAM = "NANO_HPO_PARAM_"
_CHECKPOINT = "NANO_HPO_CHECKPOINT"


@dataclass(frozen=True, slots=True)
class Facts:
    """One attempt at a trial. ``result`` is a file that is not there yet; the command may write it."""

    number: int
    folder: Path
    result: Path
    seed: int
    study: str
    checkpoint: int | None  # how far an attempt before came

    def texts(self) -> dict[str, str]:
        """What stands for :data:`NAMES` in a template."""
        values = (str(self.number), str(self.folder), str(self.result), str(self.seed))
        return dict(zip(NAMES, values, strict=True))

    def variables(self) -> dict[str, str]:
        """The environment variables of the command, without its parameters."""
        known = {
            "NANO_HPO_TRIAL": str(self.number),
            "NANO_HPO_TRIAL_DIR": str(self.folder),
            "NANO_HPO_RESULT": str(self.result),
            "NANO_HPO_SEED": str(self.seed),
            "NANO_HPO_STUDY": self.study,
        }
        return known if self.checkpoint is None else {**known, _CHECKPOINT: str(self.checkpoint)}


def facts_of(trial: optuna.Trial) -> Facts:
    """The facts of this attempt; the trial's folder is made."""
    folder = trial_dir(trial)
    return Facts(
        number=trial.number,
        folder=folder,
        result=folder / f"result-{uuid.uuid4().hex[:8]}",
        seed=stream_seed(getattr(trial.study, "seed", 0), trial.number),
        study=trial.study.study_name,
        checkpoint=last_checkpoint(trial),
    )


def variable_of(name: str) -> str:
    """The environment variable of a parameter: what such a name cannot hold becomes ``_``."""
    return _PARAM + re.sub(r"[^A-Za-z0-9_]", "_", name)


def check_variables(names: Iterable[str]) -> None:
    """Refuse parameters that would share a variable; ``SpecError``."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(variable_of(name), name)
        if other != name:
            raise SpecError(
                f"Parameters '{other}' and '{name}' would both be {variable_of(name)} in the command's "
                "environment; rename one."
            )


def environment(outer: Mapping[str, str], params: Mapping[str, str], facts: Facts) -> dict[str, str]:
    """The command's environment: ``outer``, the parameters' texts and the facts.

    What is left in ``outer`` of a search around this one goes. Python writes at once what it prints, unless
    the user has said otherwise: else reports would come when all is over.
    """
    kept = {name: value for name, value in outer.items() if not name.startswith((_PARAM, _CHECKPOINT))}
    own = {variable_of(name): text for name, text in params.items()}
    return {"PYTHONUNBUFFERED": "1", **kept, **own, **facts.variables()}
