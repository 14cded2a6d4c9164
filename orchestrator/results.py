"""The files that a run leaves: a ``Summary`` in; tables, plots and the report out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.paths import RunPaths, write_whole, written_whole
from orchestrator.summary import Summary, trial_json

Draw = Literal["all", "html", "none"]


@dataclass(frozen=True, slots=True)
class Written:
    """What was written, and in one line each what could not be."""

    folder: Path
    report: Path | None
    notes: tuple[str, ...]


def write_results(summary: Summary, paths: RunPaths, draw: Draw = "all") -> Written:
    """Write summary.json, trials.csv, trials.json, report.html and plots/*.png, each whole or not at all.

    ``draw`` "html" leaves the PNG files out, "none" the report as well. The PNG files need Chromium: where
    it is missing or fails, a note says so.
    """
    write_tables(summary, paths)
    if draw == "none":
        return Written(paths.root, None, ())
    from orchestrator.plots import figures, write_pngs
    from orchestrator.report import write_report

    drawn = figures(summary)
    write_report(summary, drawn, paths.report)
    pngs = write_pngs(drawn, paths.plots) if draw == "all" else []
    notes = (f"No PNG files: {pngs}",) if isinstance(pngs, str) else ()
    return Written(paths.root, paths.report, notes)


def write_tables(summary: Summary, paths: RunPaths) -> None:
    """The summary as JSON; the trials as CSV and as JSON lines in an array."""
    write_whole(paths.summary, json.dumps(summary.as_json(), indent=2, default=repr) + "\n")
    rows = ",\n".join(json.dumps(trial_json(trial), default=repr) for trial in summary.trials)
    write_whole(paths.trials_json, f"[\n{rows}\n]\n")
    with written_whole(paths.trials_csv) as temporary:
        summary.trials_dataframe().to_csv(temporary, index=False)
