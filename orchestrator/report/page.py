"""The report as one HTML page: a ``Summary`` and its figures in, a file that opens offline out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.paths import write_whole
from orchestrator.report.content import content_of
from orchestrator.report.words import breakable, count, memory, number, percent, seconds
from orchestrator.summary import Summary

if TYPE_CHECKING:
    from jinja2 import Environment

    from orchestrator.plots import Plot

TEMPLATES = Path(__file__).parents[1] / "templates"
_TITLES = {
    "param_importances_duration": "Importance by duration",
    "pareto_front": "Pareto front",
    "utilisation": "Use of the slots' time",
    "timeline": "Timeline",
}
_PAIRED = "param_importances"  # by value and by duration stand side by side


def write_report(summary: Summary, figures: Mapping[str, Plot], path: Path) -> None:
    """Write the report whole or not at all."""
    write_whole(path, render(summary, figures, path.parent))


def render(
    summary: Summary,
    figures: Mapping[str, Plot],
    folder: Path | None = None,
    refresh_s: float | None = None,
) -> str:
    """The report as one HTML page; see :func:`page_of`.

    Links lead to the logs beside it where ``folder``, in which it will lie, is the directory of a run.
    """
    return page_of(content_of(summary, folder), figures, refresh_s)


def page_of(content: dict[str, Any], figures: Mapping[str, Plot], refresh_s: float | None = None) -> str:
    """What ``content_of`` has gathered, as a page: no request leaves it, and no name in it can act.

    Runs, attempts and slots may be empty, as in a study made by plain Optuna; their tables are left out.
    With ``refresh_s`` the page loads itself anew as often.
    """
    from plotly.offline import get_plotlyjs

    plots = [_plot(_title(name, content["objectives"]), name, plot) for name, plot in figures.items()]
    script = get_plotlyjs() if any(plot["json"] for plot in plots) else ""
    template = _environment().get_template("report.html")
    return template.render(**content, plots=_in_rows(plots), plotlyjs=script, refresh_s=refresh_s)


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    page = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters.update(
        number=number, count=count, seconds=seconds, percent=percent, breakable=breakable, memory=memory
    )
    return page


def _in_rows(plots: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """One plot a row; importances by two, as long as both are drawn."""
    rows: list[list[dict[str, Any]]] = []
    for plot in plots:
        last = rows[-1] if rows else []
        is_paired = len(last) == 1 and all(
            one["json"] and one["name"].startswith(_PAIRED) for one in (*last, plot)
        )
        if is_paired:
            last.append(plot)
        else:
            rows.append([plot])
    return rows


def _plot(title: str, name: str, plot: Plot) -> dict[str, Any]:
    """One plot for the template: JSON that cannot end its script element, or a reason."""
    from orchestrator.plots import Skipped

    shown = {"name": name, "title": title}
    if isinstance(plot, Skipped):
        return {**shown, "reason": plot.reason, "json": "", "height": 0}
    return {**shown, "reason": "", "json": _inert(plot.to_json()), "height": plot.layout.height}


def _title(name: str, objectives: Sequence[tuple[str, str]]) -> str:
    """«Contour»; of one objective among several «Contour: objective 1»."""
    plot, index = re.fullmatch(r"(.+?)(?:_(\d+))?", name).groups()  # type: ignore[union-attr]
    words = plot.replace("param_importances", "importance_by_value").replace("_", " ")
    title = _TITLES.get(plot, words.capitalize())
    return title if index is None else f"{title}: {objectives[int(index)][0]}"


def _inert(json_text: str) -> str:
    """JSON with what HTML or old JavaScript could misread written as escapes; it means the same."""
    return json_text.translate(
        {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
    )
