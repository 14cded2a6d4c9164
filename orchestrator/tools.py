"""Sampler, pruner and callbacks as objects: what a caller gives in; checked, pickled and loaded ones out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import ObjectiveError, SpecError, UserError
from orchestrator.sampling.named import make_pruner, make_sampler, require_packages
from orchestrator.spec import RunSpec

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

    from orchestrator.payload import ArrayFolder

    Callback = Callable[[Study, FrozenTrial], None]

Tools = Mapping[str, Any]  # may have a "sampler", a "pruner" and a sequence of "callbacks"


def tools_of(sampler: Any, pruner: Any, callbacks: Sequence[Callback] | None) -> Tools:
    """Those that are objects; samplers and pruners given by name stand in the settings."""
    tools = {
        name: given
        for name, given in (("sampler", sampler), ("pruner", pruner))
        if not isinstance(given, str)
    }
    checked = _checked_callbacks(callbacks)
    return {**tools, "callbacks": checked} if checked else tools


def _checked_callbacks(callbacks: Any) -> tuple[Callback, ...]:
    if callbacks is None:
        return ()
    if not isinstance(callbacks, Sequence) or isinstance(callbacks, str):
        raise SpecError(f"callbacks is {callbacks!r}; give a list of functions of (study, trial), as [f].")
    for place, callback in enumerate(callbacks):
        if not callable(callback):
            raise SpecError(f"callbacks[{place}] is {callback!r}; it must be a function of (study, trial).")
    return tuple(callbacks)


def tool_name(tool: Any, what: str, kind: type) -> str:
    """The name of a sampler or pruner that was given by name or as an object."""
    if isinstance(tool, str):
        return tool
    if not isinstance(tool, kind):
        raise SpecError(f"The {what} is {tool!r}; give a name, or one of Optuna's {kind.__name__} objects.")
    return type(tool).__name__


def check_tools(spec: RunSpec, tools: Tools) -> None:
    """Refuse a sampler or pruner that cannot be made, before anything is written."""
    if "sampler" not in tools:
        require_packages(spec.sampler)
        make_sampler(spec.sampler, spec.sampler_args, 0)
    if "pruner" not in tools:
        require_packages(spec.pruner)
        make_pruner(spec.pruner, spec.pruner_args)


def pickle_tools(tools: Tools, path: Path, arrays: ArrayFolder) -> Path | None:
    """Write them by value to ``path``; None when there are none."""
    from orchestrator.objective import said_of
    from orchestrator.payload import dump

    if not tools:
        return None
    try:
        dump(dict(tools), path, arrays)
    except UserError:
        raise
    except Exception as error:
        raise SpecError(
            f"{_listed(tools)} cannot be sent to another process ({said_of(error)}); define what is needed "
            "at the top of a module, or search with n_parallels=1."
        ) from error
    return path


def load_tools(path: Path | None, arrays: Path | None) -> Tools:
    """Those that :func:`pickle_tools` wrote. ``ObjectiveError`` says in one line why they do not load."""
    from orchestrator.payload import load

    if path is None:
        return {}
    try:
        tools: Tools = load(path, arrays)
    except Exception as error:
        raise ObjectiveError(
            f"Sampler, pruner or callbacks do not load in a worker process: {type(error).__name__}: {error}"
        ) from error
    return tools


def _listed(tools: Tools) -> str:
    return f"The {' or the '.join(tools)}"
