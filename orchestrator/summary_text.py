"""A summary for people: a ``Summary`` in, lines of plain text out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator.progress import duration
from orchestrator.records import SlotRecord

if TYPE_CHECKING:
    from orchestrator.summary import Summary


def counted(summary: Summary) -> str:
    """``10 complete, 30 pruned``."""
    return ", ".join(f"{n} {state.lower()}" for state, n in sorted(summary.counts.items())) or "none"


def lines(summary: Summary) -> Iterator[str]:
    """Study, trials, best, time and slots, in at most 80 columns where names are short."""
    states = counted(summary)
    yield f"Study:   {summary.study.study_name} in {summary.storage_url}"
    yield f"Trials:  {len(summary.trials)} ({states})"
    yield from _best_lines(summary)
    if summary.wall_s > 0:
        speed_up = summary.trial_s / summary.wall_s
        at_once = f" ({speed_up:.2f} at a time)" if speed_up > 1 else ""
        yield f"Time:    {duration(summary.wall_s)} for {duration(summary.trial_s)} of trials{at_once}"
    if _had_earlier_launches(summary):
        yield "Slots of the last launch:"
    has_ranks = any(slot.rank for slot in summary.slots)
    for slot in summary.slots:
        rank = f", rank {slot.rank}" if has_ranks else ""
        yield f"{f'Slot {slot.slot}{rank}:':8} {_planned_and_got(slot)}"
        yield f"         {_work(slot)}"
        yield from (f"         PROBLEM: {problem}" for problem in slot.problems)


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
        yield from (f"           {name} = {value}" for name, value in trial.params.items())
    if len(summary.best_trials) > 5:
        yield f"         … {len(summary.best_trials)} trials in the Pareto front"


def _planned_and_got(slot: SlotRecord) -> str:
    got = slot.got_cpus or "unknown"
    threads = "1 thread" if slot.threads == 1 else f"{slot.threads} threads"
    return f"{slot.host} CPUs {slot.cpus} (got {got}), {threads} (got {slot.pools})"


def _work(slot: SlotRecord) -> str:
    busy = 100 * slot.busy_s / slot.alive_s if slot.alive_s else 0.0
    trials = "1 trial" if slot.n_trials == 1 else f"{slot.n_trials} trials"
    lost = f", {slot.n_lost} lost" if slot.n_lost else ""
    return f"{trials}{lost}, {busy:.0f} % busy"
