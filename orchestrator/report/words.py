"""Numbers, durations and lists as people write them: values in, short text out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.summary import in_whole_seconds

if TYPE_CHECKING:
    from markupsafe import Markup
    from optuna.trial import FrozenTrial


def number(value: Any) -> str:
    """A value for people: six significant digits for floats, a dash for nothing."""
    if value is None or value == "":
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def choice(value: Any) -> str:
    """The value of a parameter, of which None is one."""
    return "None" if value is None else number(value)


def count(value: int) -> str:
    """How many: «950», «100,000», as the plots say it."""
    return f"{value:,}"


def several(value: int, noun: str) -> str:
    """«1 trial», «1,200 trials»."""
    return f"{count(value)} {noun}{'s' * (value != 1)}"


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


def percent(part: float, whole: float) -> str:
    """«97 %», or a dash where there is no whole."""
    return f"{100 * part / whole:.0f} %" if whole > 0 else "–"


def memory(mib: float | None) -> str:
    """«512 MiB», «96.0 GiB», or a dash."""
    if mib is None:
        return "–"
    return f"{mib:.0f} MiB" if mib < 10_240 else f"{mib / 1024:.1f} GiB"


def breakable(text: str) -> Markup:
    """A list such as «0-3,8-11» as markup that goes on in the next line after commas alone."""
    from markupsafe import Markup

    part = Markup('<span class="short">{}</span>')  # browsers would break after hyphens, too
    *heads, last = text.split(",")
    return Markup("<wbr>").join([*(part.format(f"{head},") for head in heads), part.format(last)])
