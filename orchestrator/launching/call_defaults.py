"""What a call of ``search`` leaves unsaid: its arguments and an earlier search in; what they come to out."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from orchestrator.command.objective import CommandObjective
from orchestrator.errors import SpecError
from orchestrator.launching.origin import Origin
from orchestrator.objective import Objective, name_of
from orchestrator.spec import default_study_name
from orchestrator.storage_url import chosen_url


def storage_of_call(storage: str | None, origin: Origin | None) -> str | None:
    """The storage that is named: here, by the environment, or for the earlier search."""
    if storage is None and origin is not None and not origin.in_memory:
        return origin.database.url if origin.named else None
    return chosen_url(storage, may_be_automatic=True)


def study_name_of_call(objective: Objective | str) -> str:
    """As the command line would name it, for a function of a script too; else the function's name."""
    if isinstance(objective, str):
        return default_study_name(objective)
    if isinstance(objective, CommandObjective):
        return objective.study_name
    module = sys.modules.get(getattr(objective, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    name = name_of(objective)
    is_plain = name.isidentifier() and getattr(module, name, None) is objective
    return default_study_name(f"{file}:{name}") if file and is_plain else name


def directions_of_call(
    direction: str | None, directions: Sequence[str] | None, origin: Origin | None
) -> tuple[str, ...]:
    """As many as there are objectives; those of the earlier search where none is given. ``SpecError``."""
    if direction is not None and directions is not None:
        raise SpecError("Give direction or directions, not both.")
    if isinstance(directions, str):
        raise SpecError(f"directions is {directions!r}; it must be a list, as ['minimize', 'maximize'].")
    if directions is None and direction is None and origin is not None:
        return origin.directions
    return tuple(directions) if directions is not None else (direction or "minimize",)
