"""The reading of a summary: a database and the name of a study in, its ``Summary`` out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestrator.records import AttemptRecord
from orchestrator.summary import Summary

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

    from orchestrator.sql.database import Database


def summarise(database: Database, study_name: str, url: str, study: Study | None = None) -> Summary:
    """Read a study and all that is known of its runs from the storage alone.

    A study made by plain Optuna has no runs, attempts and slots. ``KeyError``: there is none of that name.
    """
    import optuna

    from orchestrator.storage.history import attempts_of
    from orchestrator.storage.last_launch import LastLaunch
    from orchestrator.storage.runs import RunTable
    from orchestrator.storage.study_storage import StudyStorage
    from orchestrator.storage_url import masked

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = StudyStorage(database)
    study = study or optuna.load_study(study_name=study_name, storage=storage)
    study_id = storage.get_study_id_from_name(study_name)
    keeps_runs = database.keeps_runs()
    stored = RunTable(database).of_study(study_id) if keeps_runs else []
    runs = tuple(run.record for run in stored)
    trials = tuple(study.get_trials(deepcopy=False))
    attempts = attempts_of(database, study_id) if keeps_runs else ()
    launch = LastLaunch.of(database, runs[-1].run_id) if runs else LastLaunch()
    return Summary(
        study=study,
        storage_url=masked(url),
        trials=trials,
        best_trials=_best(study, trials),
        counts=dict(Counter(trial.state.name for trial in trials)),
        runs=runs,
        attempts=attempts,
        slots=launch.slots(attempts),
        hosts=launch.hosts(),
        absent=launch.absent(),
        wall_s=_covered_s(attempts),
        trial_s=sum(attempt.objective_s or 0.0 for attempt in attempts) or _durations_s(trials),
        database=database,
    )


def _best(study: Study, trials: Sequence[FrozenTrial]) -> tuple[FrozenTrial, ...]:
    from optuna.study import StudyDirection
    from optuna.trial import TrialState

    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    if not complete:
        return ()
    if len(study.directions) > 1:
        return tuple(study.best_trials)
    sign = 1 if study.direction is StudyDirection.MINIMIZE else -1
    return (min(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number)),)


def _covered_s(attempts: Sequence[AttemptRecord]) -> float:
    """The seconds during which at least one attempt was on: the length of the union of them all."""
    now = datetime.now(UTC).replace(tzinfo=None)
    spans = sorted((a.start, a.known_until or now) for a in attempts)
    covered, until = 0.0, datetime.min
    for start, end in spans:
        covered += max(0.0, (end - max(start, until)).total_seconds())
        until = max(until, end)
    return covered


def _durations_s(trials: Sequence[FrozenTrial]) -> float:
    return sum(trial.duration.total_seconds() for trial in trials if trial.duration is not None)
