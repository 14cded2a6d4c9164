"""Results for people: an outcome or a summary in, lines on standard output out."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from orchestrator.launching.run import Outcome
from orchestrator.results import Written, dumps
from orchestrator.storage.runs import FAILED, FINISHED
from orchestrator.summary import Summary


def print_outcome(outcome: Outcome, as_json: bool) -> None:
    """How a run ended and what it found; of several ranks, said by the one that wrote the files."""
    if outcome.rank.size > 1 and outcome.written is None:
        return
    if outcome.summary is None:
        print("nano-hpo: stopped before the run began; nothing was written.", file=sys.stderr)
        return
    for line in _ending_lines(outcome, outcome.summary):
        print(f"nano-hpo: {line}", file=sys.stderr)
    print_summary(outcome.summary, outcome.written, as_json)


def _ending_lines(outcome: Outcome, summary: Summary) -> Iterator[str]:
    """How the run ended, where that is not simply well."""
    ending = outcome.ending
    if ending.state == FAILED:
        yield f"the run failed: {ending.reason}. The same command goes on with what is left of its budget."
    elif ending.state != FINISHED:
        yield f"the run is not finished: {ending.reason}. The same command goes on with it."
    elif ending.reason:
        yield f"the run ended: {ending.reason}."
    if ending.state == FINISHED and summary.only_failures:
        yield f"all trials of the run failed; their tracebacks are in {outcome.paths.logs}."
    if outcome.written is None and outcome.signals:
        yield "no report was written; 'nano-hpo report' makes one from the storage."


def print_summary(summary: Summary, written: Written | None, as_json: bool) -> None:
    """The summary as text or JSON, and where the files are."""
    if as_json:
        data = summary.as_json()
        data["report"] = str(written.report) if written and written.report else None
        print(dumps(data))
    else:
        print(summary)
        if written is not None:
            print(written.where)
    for note in written.notes if written else ():
        print(f"nano-hpo: {note}", file=sys.stderr)
