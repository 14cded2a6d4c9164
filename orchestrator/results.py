"""The files that a run leaves: a ``Summary`` in; tables, plots and the report out."""

from __future__ import annotations

import gc
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.paths import RunPaths, write_whole, written_whole
from orchestrator.summary import Summary, trial_json

if TYPE_CHECKING:
    from orchestrator.plots import Plot

Draw = Literal["all", "html", "none"]
_RULES: dict[str, Any] = {"default": repr, "allow_nan": False}
_IN_A_LINE = json.JSONEncoder(**_RULES)


@dataclass(frozen=True, slots=True)
class Written:
    """What was written, and in one line each what could not be."""

    folder: Path
    report: Path | None
    notes: tuple[str, ...]

    @property
    def where(self) -> str:
        """In one line for people; where no report was drawn, the tables are in the folder."""
        return f"Report:  {self.report}" if self.report else f"Tables:  {self.folder}"


def write_results(summary: Summary, paths: RunPaths, draw: Draw = "all") -> Written:
    """Write tables, report (HTML and Markdown), plots/*.png and summary.json, each whole or not at all.

    The last one says that all are there. ``draw`` "html" leaves the PNG files out, "none" the report as well.
    The PNG files need Chromium: where it is missing or fails, a note says so.
    """
    with _no_collection():
        write_tables(summary, paths)
        written = Written(paths.root, None, ()) if draw == "none" else _write_drawn(summary, paths, draw)
        write_whole(paths.summary, dumps(summary.as_json()) + "\n")
    return written


@contextmanager
def _no_collection() -> Iterator[None]:
    """Python would look for cycles among millions of objects again and again: a sixth of the time at 100,000
    trials, and there are none to be found but those of some figures.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _write_drawn(summary: Summary, paths: RunPaths, draw: Draw) -> Written:
    from orchestrator.plots import write_pngs

    drawn = write_pages(summary, paths)
    pngs = write_pngs(drawn, paths.plots) if draw == "all" else []
    notes = (pngs,) if isinstance(pngs, str) else ()
    return Written(paths.root, paths.report, notes)


def write_pages(summary: Summary, paths: RunPaths, refresh_s: float | None = None) -> Mapping[str, Plot]:
    """Write report.html, which loads itself anew every ``refresh_s`` seconds, and report.md; the figures."""
    from orchestrator.plots import figures
    from orchestrator.report import as_markdown, content_of, page_of

    drawn, content = figures(summary), content_of(summary, paths.root)
    write_whole(paths.report, page_of(content, drawn, refresh_s))
    write_whole(paths.markdown, as_markdown(content))
    return drawn


def write_tables(summary: Summary, paths: RunPaths) -> None:
    """The trials as CSV and as JSON lines in an array."""
    exact_s = summary.objective_seconds()
    with written_whole(paths.trials_json) as temporary:
        _write_array(temporary, (trial_json(t, exact_s.get(t.number)) for t in summary.trials))
    with written_whole(paths.trials_csv) as temporary:
        summary.trials_dataframe().to_csv(temporary, index=False, errors="backslashreplace")


def _write_array(path: Path, rows: Iterable[Any]) -> None:
    """A JSON array with a line for each row, as it comes: there may be 100,000."""
    with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
        separator = "[\n"
        for row in rows:
            file.write(separator + dumps(row, indent=None))
            separator = ",\n"
        file.write("\n]\n" if separator != "[\n" else "[\n\n]\n")


def dumps(data: Any, indent: int | None = 2) -> str:
    """Strict JSON: what is not finite becomes a string ("inf", "-inf", "nan"), what is no JSON its repr."""
    encoder = _IN_A_LINE if indent is None else json.JSONEncoder(**_RULES, indent=indent)
    try:
        return encoder.encode(data)
    except ValueError:  # something is not finite
        return encoder.encode(_strict(data))


def _strict(data: Any) -> Any:
    if isinstance(data, float) and not math.isfinite(data):
        return str(data)
    if isinstance(data, dict):
        return {key: _strict(value) for key, value in data.items()}
    return [_strict(value) for value in data] if isinstance(data, list | tuple) else data
