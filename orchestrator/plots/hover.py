"""What hover labels say of a trial: a stored trial in, lines of plotly text out."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from optuna.trial import FrozenTrial

from orchestrator.names import shown_name
from orchestrator.plots.labels import literal

_MOST_PARAMETERS = 12


def hover_text(heading: str, *lines: Sequence[str]) -> str:
    """The heading («trial 3: complete», plotly text) and the lines below it."""
    return "<br>".join([f"<b>{heading}</b>", *(line for group in lines for line in group)])


def value_lines(study: optuna.Study, trial: FrozenTrial) -> list[str]:
    """The values, each with its objective's name where the study has names; none where there are none."""
    if not trial.values:
        return []
    if study.metric_names is None:
        return ["value " + ", ".join(f"{value:.6g}" for value in trial.values)]
    return named_lines([literal(name) for name in study.metric_names], trial.values)


def named_lines(names: Sequence[str], values: Sequence[float]) -> list[str]:
    """One line a value, behind its name (plotly text)."""
    return [f"{name} {value:.6g}" for name, value in zip(names, values, strict=True)]


def parameter_lines(trial: FrozenTrial) -> list[str]:
    """The parameters as people see them; of many, the first."""
    params = list(trial.params.items())
    lines = [f"{literal(shown_name(key))} = {literal(_short(value))}" for key, value in params]
    more = len(lines) - _MOST_PARAMETERS
    return [*lines[:_MOST_PARAMETERS], f"and {more} more parameters"] if more > 0 else lines


def _short(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
