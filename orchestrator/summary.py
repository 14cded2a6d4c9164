"""The truthful result of a study, as data and as text: what a search found, how it went, where it ran."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.causes import SOUND, Cause
from orchestrator.names import on_one_line, shown_names
from orchestrator.progress import duration
from orchestrator.records import AttemptRecord, HostRecord, RunRecord, SlotRecord
from orchestrator.trial_table import trial_table

if TYPE_CHECKING:
    import pandas as pd
    from optuna import Study
    from optuna.trial import FrozenTrial

    from orchestrator.sql.database import Database


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
    hosts: tuple[HostRecord, ...] = ()  # of the last launch, as far as they have told
    absent: tuple[str, ...] = ()  # ranks of the last launch that never reported: a line each
    run_dir: Path | None = None  # where the run wrote its files; None: nothing was written
    database: Database | None = (
        None  # what it was read from; its URL has the password: never shown or written
    )

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    def __repr__(self) -> str:
        return f"<Summary of study {self.study.study_name!r}: {len(self.trials)} trials, {_counted(self)}>"

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

    def failures(self) -> list[AttemptRecord]:
        """The attempts that somebody may want to look at, in order of their start: failed, or lost."""
        return [one for one in self.attempts if one.cause is not None and one.cause not in SOUND]

    def unexplained(self) -> list[FrozenTrial]:
        """Failed trials of which no attempt tells why: of plain Optuna, or of an earlier version of ours."""
        known = {attempt.trial_number for attempt in self.failures()}
        return [trial for trial in self.trials if trial.state.name == "FAIL" and trial.number not in known]

    def tries(self) -> Counter[int]:
        """How often each trial was tried, by its number."""
        return Counter(attempt.trial_number for attempt in self.attempts)

    def state_of(self, number: int) -> str:
        """The state of a trial, as Optuna names it."""
        state: str = self.trials[bisect_left(self.trials, number, key=lambda t: t.number)].state.name
        return state

    def objective_seconds(self) -> dict[int, float]:
        """Seconds inside the objective by trial number; see :func:`objective_seconds`."""
        return objective_seconds(self.attempts)

    def trials_dataframe(self) -> pd.DataFrame:
        """One row per trial: what the user set and sampled, as Optuna's ``Study.trials_dataframe`` names it.

        Optuna's own attributes are left out, and trials that were added since. Where attempts are known,
        ``objective_s`` (seconds) and the host, rank and slot of the last attempt stand at the end.
        """
        frame = trial_table(self.study, self.trials)
        if not self.attempts or not self.trials:
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
            "attempts": {"n": len(self.attempts), "causes": dict(_causes(self.attempts))},
            "slots": [asdict(slot) for slot in self.slots],
            "absent": list(self.absent),
            "runs": [_plain(asdict(run)) for run in self.runs],
        }


def objective_seconds(attempts: Iterable[AttemptRecord]) -> dict[int, float]:
    """Seconds inside the objective by trial number, all attempts of a trial together.

    Attempts that nobody measured (their worker was lost) count nothing; a trial without a measured one is
    missing. Unlike a trial's dates, which MySQL may keep in whole seconds, these are exact.
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


def _counted(summary: Summary) -> str:
    """``10 complete, 30 pruned``."""
    return ", ".join(f"{n} {state.lower()}" for state, n in sorted(summary.counts.items())) or "none"


def _lines(summary: Summary) -> Iterator[str]:
    """Study, trials, best, time and slots, in at most 80 columns where names are short."""
    states = _counted(summary)
    yield f"Study:   {on_one_line(summary.study.study_name)} in {summary.storage_url}"
    yield f"Trials:  {len(summary.trials)} ({states})"
    yield from _best_lines(summary)
    yield from _lost_lines(summary)
    if summary.wall_s > 0 and summary.trial_s > 0:
        speed_up = summary.trial_s / summary.wall_s
        at_once = f" ({speed_up:.2f} at a time)" if speed_up > 1 else ""
        yield f"Time:    {duration(summary.wall_s)} for {duration(summary.trial_s)} of trials{at_once}"
    if _had_earlier_launches(summary):
        yield "Slots of the last launch:"
    for slot in summary.slots:
        yield f"{f'Slot {_place(slot, summary)}:':8} {_planned_and_got(slot)}"
        yield f"         {_work(slot)}"
        yield from (f"         PROBLEM: {problem}" for problem in slot.problems)


def _place(slot: SlotRecord, summary: Summary) -> str:
    """A slot among those of the launch: its rank and its job where there are several."""
    has_ranks = any(one.rank for one in summary.slots)
    has_jobs = len({one.job for one in summary.slots}) > 1
    rank = f", rank {slot.rank}" if has_ranks else ""
    job = f", job {slot.job}" if has_jobs else ""
    return f"{slot.slot}{rank}{job}"


def _causes(attempts: Iterable[AttemptRecord]) -> Counter[str]:
    """How attempts ended, and how many each way."""
    return Counter(attempt.cause for attempt in attempts if attempt.cause is not None)


def _lost_lines(summary: Summary) -> Iterator[str]:
    """What did not end as it should: «3 attempts: 2 killed by a signal, 1 timed out»."""
    odd = _causes(summary.attempts)
    for cause in (Cause.RETURNED, Cause.PRUNED):
        odd.pop(cause, None)
    if odd:
        attempts = "1 attempt" if odd.total() == 1 else f"{odd.total()} attempts"
        yield f"Trouble: {attempts}: " + ", ".join(f"{n} {cause}" for cause, n in odd.most_common())
    yield from (f"Trouble: {line}." for line in summary.absent)


def _had_earlier_launches(summary: Summary) -> bool:
    """Whether trials of the last run were finished by launches before the last one."""
    mine = [a for a in summary.attempts if a.run_id == summary.runs[-1].run_id] if summary.runs else []
    finished = sum(attempt.objective_s is not None for attempt in mine)
    return bool(summary.slots) and finished > sum(slot.n_trials for slot in summary.slots)


def _best_lines(summary: Summary) -> Iterator[str]:
    if not summary.best_trials:
        yield "Best:    no trial is complete"
    for trial in summary.best_trials[:5]:
        values = ", ".join(f"{value:.6g}" for value in trial.values or ())
        yield f"Best:    {values} (trial {trial.number})"
        shown = shown_names(trial.params)
        yield from (f"           {shown[name]} = {value}" for name, value in trial.params.items())
    if len(summary.best_trials) > 5:
        yield f"         … {len(summary.best_trials)} trials in the Pareto front"


def _planned_and_got(slot: SlotRecord) -> str:
    threads = "1 thread" if slot.threads == 1 else f"{slot.threads} threads"
    if not slot.is_seen:
        return f"{slot.host} CPUs {slot.cpus}, {threads} (its worker has not said what it got)"
    return f"{slot.host} CPUs {slot.cpus} (got {slot.got_cpus or 'unknown'}), {threads} (got {slot.pools})"


def _work(slot: SlotRecord) -> str:
    busy = 100 * slot.busy_s / slot.alive_s if slot.alive_s else 0.0
    trials = "1 trial" if slot.n_trials == 1 else f"{slot.n_trials} trials"
    lost = f", {slot.n_lost} lost" if slot.n_lost else ""
    return f"{trials}{lost}, {busy:.0f} % busy"
