"""Results for people: an outcome or a summary in, lines on standard output out."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from orchestrator.progress import duration
from orchestrator.records import SlotRecord
from orchestrator.results import Written
from orchestrator.run import Outcome
from orchestrator.storage.runs import FAILED, FINISHED
from orchestrator.summary import Summary


def print_outcome(outcome: Outcome, as_json: bool) -> None:
    """How a run ended and what it found; of several ranks, said by the one that wrote the files."""
    if outcome.rank.size > 1 and outcome.written is None:
        return
    if outcome.summary is None:
        print("nano-hpo: stopped before the run began; nothing was written.", file=sys.stderr)
        return
    ending = outcome.ending
    if ending.state != FINISHED or ending.reason:
        again = "" if ending.state == FINISHED else " The same command goes on with it."
        word = "failed" if ending.state == FAILED else ending.state
        print(f"nano-hpo: the run is {word}: {ending.reason}.{again}", file=sys.stderr)
    print_summary(outcome.summary, outcome.written, as_json)


def print_summary(summary: Summary, written: Written | None, as_json: bool) -> None:
    """The summary as text or JSON, and where the files are."""
    if as_json:
        data = summary.as_json()
        data["report"] = str(written.report) if written and written.report else None
        print(json.dumps(data, indent=2, default=repr))
    else:
        print("\n".join(_lines(summary)))
        if written is not None:
            print(f"Report:  {written.report}" if written.report else f"Tables:  {written.folder}")
    for note in written.notes if written else ():
        print(f"nano-hpo: {note}", file=sys.stderr)


def _lines(summary: Summary) -> Iterator[str]:
    states = ", ".join(f"{n} {state.lower()}" for state, n in sorted(summary.counts.items()))
    yield f"Study:   {summary.study.study_name} in {summary.storage_url}"
    yield f"Trials:  {len(summary.trials)} ({states or 'none'})"
    yield from _best_lines(summary)
    if summary.wall_s > 0:
        speed_up = summary.trial_s / summary.wall_s
        yield (
            f"Time:    {duration(summary.wall_s)} for {duration(summary.trial_s)} of trials "
            f"({speed_up:.2f} at a time)"
        )
    for slot in summary.slots:
        yield f"Slot {slot.slot}:  {_slot_line(slot)}"
        yield from (f"         PROBLEM: {problem}" for problem in slot.problems)


def _best_lines(summary: Summary) -> Iterator[str]:
    if not summary.best_trials:
        yield "Best:    no trial is complete"
    for trial in summary.best_trials[:5]:
        values = ", ".join(f"{value:.6g}" for value in trial.values or ())
        yield f"Best:    {values} (trial {trial.number})"
        yield from (f"           {name} = {value}" for name, value in trial.params.items())
    if len(summary.best_trials) > 5:
        yield f"         … {len(summary.best_trials)} trials in the Pareto front"


def _slot_line(slot: SlotRecord) -> str:
    busy = 100 * slot.busy_s / slot.alive_s if slot.alive_s else 0.0
    pools = ", ".join(f"{pool.library} {pool.threads}" for pool in slot.got_pools) or "no pools seen"
    lost = f", {slot.n_lost} lost" if slot.n_lost else ""
    got = slot.got_cpus or "unknown"
    threads = "1 thread" if slot.threads == 1 else f"{slot.threads} threads"
    return (
        f"{slot.host} CPUs {slot.cpus} (got {got}), {threads} (got {pools}), "
        f"{slot.n_trials} trials{lost}, {busy:.0f} % busy"
    )
