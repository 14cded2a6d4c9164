"""The files that a run leaves: a ``Summary`` in; tables, plots and the report out."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

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
    """Write trials.csv, trials.json, report.html, plots/*.png and summary.json, each whole or not at all.

    The last one says that all are there. ``draw`` "html" leaves the PNG files out, "none" the report as well.
    The PNG files need Chromium: where it is missing or fails, a note says so.
    """
    write_tables(summary, paths)
    written = Written(paths.root, None, ()) if draw == "none" else _write_drawn(summary, paths, draw)
    write_whole(paths.summary, dumps(summary.as_json()) + "\n")
    return written


def _write_drawn(summary: Summary, paths: RunPaths, draw: Draw) -> Written:
    from orchestrator.plots import figures, write_pngs
    from orchestrator.report import write_report

    drawn = figures(summary)
    write_report(summary, drawn, paths.report)
    pngs = write_pngs(drawn, paths.plots) if draw == "all" else []
    notes = (f"No PNG files: {pngs}",) if isinstance(pngs, str) else ()
    return Written(paths.root, paths.report, notes)


def write_tables(summary: Summary, paths: RunPaths) -> None:
    """The trials as CSV and as JSON lines in an array."""
    exact_s = summary.objective_seconds()
    rows = ",\n".join(dumps(trial_json(t, exact_s.get(t.number)), indent=None) for t in summary.trials)
    write_whole(paths.trials_json, f"[\n{rows}\n]\n")
    with written_whole(paths.trials_csv) as temporary:
        summary.trials_dataframe().to_csv(temporary, index=False, errors="backslashreplace")


def dumps(data: Any, indent: int | None = 2) -> str:
    """Strict JSON: what is not finite becomes a string ("inf", "-inf", "nan"), what is no JSON its repr."""
    return json.dumps(_strict(data), indent=indent, default=repr, allow_nan=False)


def _strict(data: Any) -> Any:
    if isinstance(data, float) and not math.isfinite(data):
        return str(data)
    if isinstance(data, dict):
        return {key: _strict(value) for key, value in data.items()}
    return [_strict(value) for value in data] if isinstance(data, list | tuple) else data
