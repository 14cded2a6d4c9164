"""The truthful result of a study: storage in, ``Summary`` out; tables as CSV, JSON and pandas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.records import AttemptRecord, RunRecord, SlotRecord

if TYPE_CHECKING:
    import pandas as pd
    from optuna import Study
    from optuna.trial import FrozenTrial

    from orchestrator.storage.database import Database


_TIMES = ("datetime_start", "datetime_complete", "duration")
_COLUMNS = ("number", "value", *_TIMES, "params", "user_attrs", "state")


@dataclass(frozen=True, slots=True, repr=False)
class Summary:
    """What a search found, how it went and where it ran. Printed, it is the text that the command line shows.

    ``trials`` is sorted by number. ``wall_s`` is the time during which at least one trial was
    running; ``trial_s`` the summed seconds inside objectives, so ``trial_s / wall_s`` is the speed-up.
    """

    study: Study
    storage_url: str  # masked
    trials: tuple[FrozenTrial, ...]
    best_trials: tuple[FrozenTrial, ...]  # one for one objective; the Pareto front for several; may be empty
    counts: dict[str, int]  # by trial state, every state present
    runs: tuple[RunRecord, ...]  # in order of their start
    attempts: tuple[AttemptRecord, ...]  # in order of their start
    slots: tuple[SlotRecord, ...]  # of the last run
    wall_s: float
    trial_s: float
    run_dir: Path | None = None  # where the run wrote its files; None: nothing was written

    def __str__(self) -> str:
        from orchestrator.summary_text import lines

        return "\n".join(lines(self))

    def __repr__(self) -> str:
        from orchestrator.summary_text import counted

        return f"<Summary of study {self.study.study_name!r}: {len(self.trials)} trials, {counted(self)}>"

    @property
    def best_trial(self) -> FrozenTrial:
        """The best trial of a study with one objective; ``ValueError`` when none is complete."""
        if len(self.study.directions) > 1:
            raise ValueError("The study has several objectives; see best_trials, its Pareto front.")
        if not self.best_trials:
            raise ValueError("No trial is complete; see counts and the logs of the workers.")
        return self.best_trials[0]

    @property
    def only_failures(self) -> bool:
        """Whether the last run has finished trials, and every one of them failed."""
        mine = {a.trial_number for a in self.attempts if self.runs and a.run_id == self.runs[-1].run_id}
        states = {trial.state.name for trial in self.trials if trial.number in mine}
        return "FAIL" in states and not states & {"COMPLETE", "PRUNED"}

    @property
    def best_value(self) -> float:
        """The value of :attr:`best_trial`."""
        value = self.best_trial.value
        assert value is not None
        return value

    @property
    def best_params(self) -> dict[str, Any]:
        """The parameters of :attr:`best_trial`."""
        return self.best_trial.params

    def objective_seconds(self) -> dict[int, float]:
        """Seconds inside the objective by trial number; see :func:`objective_seconds`."""
        return objective_seconds(self.attempts)

    def trials_dataframe(self) -> pd.DataFrame:
        """One row per trial: what the user set and sampled, as Optuna's ``Study.trials_dataframe`` names it.

        Optuna's own attributes are left out, and trials that were added since. Where attempts are known,
        ``objective_s`` (seconds) and the host, rank and slot of the last attempt stand at the end.
        """
        frame = self.study.trials_dataframe(attrs=_COLUMNS)
        if not self.trials:
            return frame.head(0)
        frame = frame[frame["number"].isin({trial.number for trial in self.trials})].reset_index(drop=True)
        if not self.attempts:
            return frame
        exact_s = self.objective_seconds()
        last = {attempt.trial_number: attempt for attempt in self.attempts}
        frame["objective_s"] = [exact_s.get(number) for number in frame["number"]]
        for name in ("host", "rank", "slot"):
            frame[name] = [getattr(last.get(number), name, None) for number in frame["number"]]
        return frame

    def as_json(self) -> dict[str, Any]:
        """Plain data: what ``--json`` prints and ``summary.json`` holds."""
        exact_s = self.objective_seconds()
        return {
            "study_name": self.study.study_name,
            "storage": self.storage_url,
            "directions": [direction.name.lower() for direction in self.study.directions],
            "n_trials": len(self.trials),
            "counts": self.counts,
            "best_trials": [trial_json(trial, exact_s.get(trial.number)) for trial in self.best_trials],
            "wall_s": round(self.wall_s, 3),
            "trial_s": round(self.trial_s, 3),
            "slots": [asdict(slot) for slot in self.slots],
            "runs": [_plain(asdict(run)) for run in self.runs],
        }


def objective_seconds(attempts: Iterable[AttemptRecord]) -> dict[int, float]:
    """Seconds inside the objective by trial number, all attempts of a trial together.

    Attempts that nobody measured (their worker was lost) count nothing; a trial without a measured one is
    missing. Unlike a trial's dates, which MySQL keeps in whole seconds, these are exact.
    """
    sums: dict[int, float] = {}
    for attempt in attempts:
        if attempt.objective_s is not None:
            sums[attempt.trial_number] = sums.get(attempt.trial_number, 0.0) + attempt.objective_s
    return sums


def in_whole_seconds(trial: FrozenTrial) -> bool:
    """Whether the trial's dates have no fraction, as those that MySQL keeps: its duration is then rough."""
    ends = (trial.datetime_start, trial.datetime_complete)
    return all(date is not None and date.microsecond == 0 for date in ends)


def trial_json(trial: FrozenTrial, objective_s: float | None = None) -> dict[str, Any]:
    """A trial as plain data; its duration is ``objective_s`` where that is known, else by its dates."""
    dates_s = trial.duration.total_seconds() if trial.duration is not None else None
    return {
        "number": trial.number,
        "state": trial.state.name,
        "values": trial.values,
        "params": trial.params,
        "duration_s": objective_s if objective_s is not None else dates_s,
        "user_attrs": trial.user_attrs,
        "intermediate_values": trial.intermediate_values,
    }


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in data.items()}


def summarise(database: Database, study_name: str, url: str, study: Study | None = None) -> Summary:
    """Read a study and all that is known of its runs from the storage alone.

    A study made by plain Optuna has no runs, attempts and slots. ``KeyError``: there is none of that name.
    """
    import optuna

    from orchestrator.storage.history import attempts_of, slots_of
    from orchestrator.storage.runs import RunTable
    from orchestrator.storage.study_storage import StudyStorage
    from orchestrator.storage.url import masked

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = StudyStorage(database)
    study = study or optuna.load_study(study_name=study_name, storage=storage)
    study_id = storage.get_study_id_from_name(study_name)
    keeps_runs = database.keeps_runs()
    stored = RunTable(database).of_study(study_id) if keeps_runs else []
    runs = tuple(run.record for run in stored)
    trials = tuple(study.get_trials(deepcopy=False))
    attempts = attempts_of(database, study_id) if keeps_runs else ()
    return Summary(
        study=study,
        storage_url=masked(url),
        trials=trials,
        best_trials=_best(study, trials),
        counts=dict(Counter(trial.state.name for trial in trials)),
        runs=runs,
        attempts=attempts,
        slots=slots_of(database, runs[-1].run_id, attempts) if runs else (),
        wall_s=_covered_s(attempts),
        trial_s=sum(attempt.objective_s or 0.0 for attempt in attempts) or _durations_s(trials),
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
    spans = sorted((a.start, a.end or now) for a in attempts)
    covered, until = 0.0, datetime.min
    for start, end in spans:
        covered += max(0.0, (end - max(start, until)).total_seconds())
        until = max(until, end)
    return covered


def _durations_s(trials: Sequence[FrozenTrial]) -> float:
    return sum(trial.duration.total_seconds() for trial in trials if trial.duration is not None)
