"""Hyperparameter search as an HPC job: bound worker processes, one SQL-backed Optuna study, one report.

    from orchestrator import search
    summary = search(objective, n_trials=100, n_parallels=4)
    summary.best_params

Importing it is cheap; Optuna, SQLAlchemy and the rest load on use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .siblings import require_ours

require_ours(("affinity", "launchers"))

if TYPE_CHECKING:
    from orchestrator.api import search
    from orchestrator.command.objective import CommandObjective
    from orchestrator.errors import (
        ObjectiveError,
        OrchestratorError,
        RunDirError,
        RunFailed,
        SpecError,
        StorageError,
        StudyError,
        StudyFileError,
        UserError,
    )
    from orchestrator.interrupts import WorkerEnded
    from orchestrator.ranks import is_rank_zero, rank
    from orchestrator.sampling.flat_tpe import FlatTPESampler
    from orchestrator.storage.study_storage import open_storage
    from orchestrator.summary import Summary
    from orchestrator.trial_folder import last_checkpoint, mark_checkpoint, trial_dir

_HOMES = {
    "CommandObjective": "orchestrator.command.objective",
    "FlatTPESampler": "orchestrator.sampling.flat_tpe",
    "is_rank_zero": "orchestrator.ranks",
    "last_checkpoint": "orchestrator.trial_folder",
    "mark_checkpoint": "orchestrator.trial_folder",
    "open_storage": "orchestrator.storage.study_storage",
    "rank": "orchestrator.ranks",
    "search": "orchestrator.api",
    "Summary": "orchestrator.summary",
    "trial_dir": "orchestrator.trial_folder",
    "ObjectiveError": "orchestrator.errors",
    "OrchestratorError": "orchestrator.errors",
    "RunDirError": "orchestrator.errors",
    "RunFailed": "orchestrator.errors",
    "SpecError": "orchestrator.errors",
    "StorageError": "orchestrator.errors",
    "StudyError": "orchestrator.errors",
    "StudyFileError": "orchestrator.errors",
    "UserError": "orchestrator.errors",
    "WorkerEnded": "orchestrator.interrupts",
}

__all__ = [
    "CommandObjective",
    "FlatTPESampler",
    "ObjectiveError",
    "OrchestratorError",
    "RunDirError",
    "RunFailed",
    "SpecError",
    "StorageError",
    "StudyError",
    "StudyFileError",
    "Summary",
    "UserError",
    "WorkerEnded",
    "is_rank_zero",
    "last_checkpoint",
    "mark_checkpoint",
    "open_storage",
    "rank",
    "search",
    "trial_dir",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module when it is first asked for."""
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
