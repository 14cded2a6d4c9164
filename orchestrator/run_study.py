"""A worker's way into a run: a work order in, the study and its storage out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import optuna

from affinity import format_list
from orchestrator.orders import WorkOrder
from orchestrator.sampling.named import make_pruner
from orchestrator.sampling.streams import TrialSeededSampler
from orchestrator.sql.database import Database
from orchestrator.sql.opening import rejoin_database
from orchestrator.sql.patience import Patience
from orchestrator.storage.attempts import Seat
from orchestrator.storage.run_storage import Listener, RunStorage
from orchestrator.storage.study_storage import StudyStorage
from orchestrator.tools import Tools


class RunStudy(optuna.Study):
    """The study that an objective sees as ``trial.study``, and a callback.

    Its ``stop()`` ends the run, also when a sampler has run out of combinations. ``run_dir`` is the directory
    that the run writes to, where an objective may leave files of its own; None for a search in memory.
    """

    stop_requested = False
    run_dir: Path | None = None
    seed = 0  # of the study: a trial draws its streams from it and its number
    was_interrupted: Callable[[], bool] = staticmethod(lambda: False)

    @property
    def is_stopping(self) -> bool:
        """Whether somebody stops the run: the trial at hand has seconds to finish or to checkpoint."""
        return self.was_interrupted()

    def stop(self) -> None:
        """Begin no further trial in this run."""
        self.stop_requested = True


def open_run_study(
    order: WorkOrder, tools: Tools, listener: Listener, database: Database | None = None
) -> tuple[RunStudy, RunStorage]:
    """Open the study of a run for working on it, in ``database`` or in the one that the order names.

    ``tools`` may hold "sampler" and "pruner" objects, which then stand instead of those named in the order.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if database is None:
        database = rejoin_database(order.storage_url, Patience(order.storage_patience_s))
    study_id, name = _study_of(database, order)
    storage = RunStorage(database, study_id, _seat(order), listener)
    sampler = tools.get("sampler")
    if sampler is None:
        sampler = TrialSeededSampler(order.sampler, order.sampler_args, order.seed)
    else:
        sampler.reseed_rng()  # else every worker would draw the same
    pruner = tools.get("pruner") or make_pruner(order.pruner, order.pruner_args)
    study = RunStudy(name, storage, sampler, pruner)
    study.run_dir, study.seed = order.run_dir, order.seed
    return study, storage


def _study_of(database: Database, order: WorkOrder) -> tuple[int, str]:
    """Id and name of the study: somebody may have renamed it since the run began."""
    studies = StudyStorage(database)
    if order.study_id is None:
        return studies.get_study_id_from_name(order.study_name), order.study_name
    return order.study_id, studies.get_study_name_from_id(order.study_id)


def _seat(order: WorkOrder) -> Seat:
    pus = order.binding.pus if order.binding else ()
    return Seat(
        run_id=order.run_id,
        agent_id=order.agent_id,
        slot=order.slot,
        cpus=format_list(pus),
        cpu_model=order.cpu_model[:191],
        slot_width=len(pus),
        pid=os.getpid(),
    )
