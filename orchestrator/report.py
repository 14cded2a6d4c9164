"""The report of a study: a ``Summary`` and its figures in, one HTML file that opens offline out."""

from __future__ import annotations

import platform
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.names import shown_names
from orchestrator.paths import write_whole
from orchestrator.summary import Summary, in_whole_seconds
from orchestrator.versions import version_of

if TYPE_CHECKING:
    from markupsafe import Markup
    from optuna.trial import FrozenTrial

    from orchestrator.plots import Plot
    from orchestrator.records import AttemptRecord, SlotRecord

_SETTINGS = ("objective", "sampler", "pruner", "seed", "n_trials", "n_parallels")
MAX_ROWS = 1000  # of the trials table
MAX_BEST = 20
MAX_FAILURES = 200
_TEMPLATE = Path(__file__).with_name("templates") / "report.html"
_STATES = {"FAIL": "failed"}


def write_report(summary: Summary, figures: Mapping[str, Plot], path: Path) -> None:
    """Write the report whole or not at all."""
    write_whole(path, render(summary, figures))


def render(summary: Summary, figures: Mapping[str, Plot]) -> str:
    """The report as one HTML page: no request leaves it, and nothing that people named can act in it.

    Runs, attempts and slots may be empty, as in a study made by plain Optuna; their tables are left out.
    """
    from jinja2 import Environment, StrictUndefined
    from plotly.offline import get_plotlyjs

    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters.update(number=number, count=count, seconds=seconds, percent=percent, breakable=breakable)
    template = page.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    content = _content(summary)
    plots = [_plot(_title(name, content["objectives"]), name, plot) for name, plot in figures.items()]
    script = get_plotlyjs() if any(plot["json"] for plot in plots) else ""
    return template.render(**content, plots=plots, plotlyjs=script)


def number(value: Any) -> str:
    """A value for people: six significant digits for floats, a dash for nothing."""
    if value is None or value == "":
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def count(value: int) -> str:
    """How many: «950», «100,000», as the plots say it."""
    return f"{value:,}"


def seconds(value: float | None) -> str:
    """A duration for people: «1.23 s», «4 min 05 s», «2 h 03 min»."""
    if value is None:
        return "–"
    if value < 60:
        return f"{value:.3g} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def duration(trial: FrozenTrial, objective_s: float | None) -> str:
    """How long a trial took: inside the objective where that was measured, else by its dates.

    Dates in whole seconds (plain Optuna's tables on MySQL keep no fraction) are off by up to one: «under
    1 s», «about 5 s».
    """
    if objective_s is not None or trial.duration is None:
        return seconds(objective_s)
    dates_s = trial.duration.total_seconds()
    if not in_whole_seconds(trial):
        return seconds(dates_s)
    return f"under {dates_s + 1:.0f} s" if dates_s < 2 else f"about {seconds(dates_s)}"


def breakable(text: str) -> Markup:
    """A list such as «0-3,8-11» as markup that goes on in the next line after commas alone."""
    from markupsafe import Markup

    part = Markup('<span class="short">{}</span>')  # browsers would break after hyphens, too
    *heads, last = text.split(",")
    return Markup("<wbr>").join([*(part.format(f"{head},") for head in heads), part.format(last)])


def percent(part: float, whole: float) -> str:
    """«97 %», or a dash where there is no whole."""
    return f"{100 * part / whole:.0f} %" if whole > 0 else "–"


def _content(summary: Summary) -> dict[str, Any]:
    """Everything the template shows but the plots, as plain values."""
    names = shown_names(name for trial in summary.trials for name in trial.params)
    ranked = _ranked(summary)
    exact_s = summary.objective_seconds()
    return {
        "title": summary.study.study_name,
        "storage": summary.storage_url,
        "objectives": _objectives(summary),
        "spec": _settings(summary),
        "counts": {_STATES.get(state, state.lower()): found for state, found in summary.counts.items()},
        "wall_s": summary.wall_s or None,
        "trial_time": _trial_time(summary),
        "speedup": summary.trial_s / summary.wall_s if summary.wall_s > 0 else None,
        "n_best": len(summary.best_trials),
        "best": [_trial(trial, names, exact_s) for trial in summary.best_trials[:MAX_BEST]],
        "columns": list(names.values()),
        "slots": [_slot(slot) for slot in summary.slots],
        "absent": summary.absent,
        "failures": _failures(summary),
        "parameters": [_parameter(name, shown, summary) for name, shown in names.items()],
        "runs": summary.runs,
        "trials": [_trial(trial, names, exact_s) for trial in ranked[:MAX_ROWS]],
        "n_trials": len(summary.trials),
        "versions": _versions(),
    }


def _trial_time(summary: Summary) -> str:
    """The summed time of the trials; without attempts of ours by their dates, which may be rough."""
    text = seconds(summary.trial_s or None)
    is_rough = not summary.attempts and summary.trial_s and all(map(in_whole_seconds, summary.trials))
    return f"about {text}" if is_rough else text


def _objectives(summary: Summary) -> list[tuple[str, str]]:
    """Name and direction of each objective."""
    directions = [direction.name.lower() for direction in summary.study.directions]
    plain = ["value"] if len(directions) == 1 else [f"objective {i}" for i in range(len(directions))]
    return list(zip(summary.study.metric_names or plain, directions, strict=True))


def _settings(summary: Summary) -> dict[str, Any]:
    """The settings of the last run that the page names; all of them may be missing."""
    spec = summary.runs[-1].spec if summary.runs else {}
    shown = {key: spec[key] for key in _SETTINGS if spec.get(key) is not None}
    if len(summary.study.directions) > 1 and shown.get("pruner", "none") != "none":
        shown["pruner"] = f"{shown['pruner']} (without effect: Optuna prunes no trial of several objectives)"
    return shown


def _ranked(summary: Summary) -> list[FrozenTrial]:
    """Trials by value, the best first (of several objectives: the front first); then those without."""
    best = {trial.number for trial in summary.best_trials}
    maximize = summary.study.directions[0].name == "MAXIMIZE"

    def key(trial: FrozenTrial) -> tuple[bool, bool, float, int]:
        value = trial.values[0] if trial.values else 0.0
        unranked = trial.state.name != "COMPLETE" or not trial.values
        return unranked, trial.number not in best, -value if maximize else value, trial.number

    return sorted(summary.trials, key=key)


def _trial(trial: FrozenTrial, names: Iterable[str], exact_s: Mapping[int, float]) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": _STATES.get(trial.state.name, trial.state.name.lower()),
        "values": trial.values or [],
        "params": [_choice(trial.params[name]) if name in trial.params else "–" for name in names],
        "duration": duration(trial, exact_s.get(trial.number)),
    }


def _choice(value: Any) -> str:
    """The value of a parameter, of which None is one."""
    return "None" if value is None else number(value)


def _slot(slot: SlotRecord) -> dict[str, Any]:
    return {
        "record": slot,
        "numa": ", ".join(map(str, slot.numa_nodes)),
        "moved": slot.got_cpus is not None and slot.got_cpus != slot.cpus,
    }


def _failures(summary: Summary) -> dict[str, Any]:
    """Attempts that went wrong, and failed trials of which no attempt is known."""
    bad = summary.failures()
    foreign = summary.unexplained()
    rows = [_attempt(attempt) for attempt in bad]
    rows += [{"cause": "failed", "trial": trial.number, "attempt": None} for trial in foreign]
    causes = Counter(attempt.cause for attempt in bad if attempt.cause is not None)
    counted = ", ".join(f"{n} {cause}" for cause, n in causes.most_common())
    return {"rows": rows[:MAX_FAILURES], "count": len(rows), "causes": counted}


def _attempt(attempt: AttemptRecord) -> dict[str, Any]:
    return {"cause": attempt.why, "trial": attempt.trial_number, "attempt": attempt}


def _parameter(name: str, shown: str, summary: Summary) -> dict[str, Any]:
    """What was searched, and what the best trial, or the Pareto front, has of it."""
    found = [trial for trial in summary.trials if name in trial.distributions]
    kinds = [describe(trial.distributions[name]) for trial in (found[0], found[-1])]
    return {
        "name": shown,
        "range": " → ".join(dict.fromkeys(kinds)),
        "n": len(found),
        "best": spread(name, summary.best_trials),
    }


def spread(name: str, trials: Sequence[FrozenTrial]) -> str:
    """The values of a parameter in these trials: «0.1», «0.1 to 0.3», «adam, sgd; not used in 1 of 3»."""
    using = [trial for trial in trials if name in trial.params]
    if not using:
        return "not used" if trials else "–"
    values = [trial.params[name] for trial in using]
    if hasattr(using[0].distributions[name], "choices"):
        text = ", ".join(dict.fromkeys(map(_choice, values)))
    else:
        text = " to ".join(dict.fromkeys(map(_choice, (min(values), max(values)))))
    lacking = len(trials) - len(using)
    return f"{text}; not used in {lacking} of {len(trials)}" if lacking else text


def describe(distribution: Any) -> str:
    """A distribution for people: «0.001 to 0.1, log», «1 to 5, step 2, integer», «one of adam, sgd»."""
    if hasattr(distribution, "choices"):
        return "one of " + ", ".join(map(str, distribution.choices))
    words = [f"{number(distribution.low)} to {number(distribution.high)}"]
    words += ["log"] if distribution.log else []
    words += [f"step {number(distribution.step)}"] if distribution.step not in (None, 1) else []
    words += ["integer"] if type(distribution).__name__ == "IntDistribution" else []
    return ", ".join(words)


def _plot(title: str, name: str, plot: Plot) -> dict[str, Any]:
    """One plot for the template: JSON that cannot end its script element, or a reason."""
    from orchestrator.plots import Skipped

    shown = {"name": name, "title": title}
    if isinstance(plot, Skipped):
        return {**shown, "reason": plot.reason, "json": "", "height": 0}
    return {**shown, "reason": "", "json": _inert(plot.to_json()), "height": plot.layout.height}


def _title(name: str, objectives: Sequence[tuple[str, str]]) -> str:
    """«Contour»; of one objective among several «Contour: objective 1»."""
    titles = {"param_importances_duration": "Importance by duration", "pareto_front": "Pareto front"}
    plot, index = re.fullmatch(r"(.+?)(?:_(\d+))?", name).groups()  # type: ignore[union-attr]
    words = plot.replace("param_importances", "importance_by_value").replace("_", " ")
    title = titles.get(plot, words.capitalize())
    return title if index is None else f"{title}: {objectives[int(index)][0]}"


def _inert(json_text: str) -> str:
    """JSON with what HTML or old JavaScript could misread written as escapes; it means the same."""
    return json_text.translate(
        {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
    )


def _versions() -> dict[str, str]:
    packages = {name: version_of(name) for name in ("nano-hpo", "optuna")}
    return {**packages, "Python": platform.python_version(), "platform": platform.platform()}
