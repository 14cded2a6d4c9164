"""What was searched and where it is good: trials and their distributions in, a row for each parameter out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.report.words import choice, number
from orchestrator.summary import Summary

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

BEST_PART = 0.1
_FEWEST = 20  # complete trials; of fewer, the best tenth is a trial, which is in the table as the best
_MOST_CHOICES = 6


def parameter_row(
    name: str, shown: str, summary: Summary, best_part: Sequence[FrozenTrial]
) -> dict[str, Any]:
    """What was searched, and what the best trial, or the Pareto front, and the best part have of it."""
    found = [trial for trial in summary.trials if name in trial.distributions]
    kinds = [describe(trial.distributions[name]) for trial in (found[0], found[-1])]
    return {
        "name": shown,
        "range": " → ".join(dict.fromkeys(kinds)),
        "n": len(found),
        "best": spread(name, summary.best_trials),
        "region": region(name, best_part),
        "strip": strip(name, best_part),
    }


def best_part_of(summary: Summary) -> list[FrozenTrial]:
    """The best tenth of the complete trials; none of few trials, and none for several objectives."""
    if len(summary.study.directions) > 1:
        return []
    complete = [t for t in summary.trials if t.state.name == "COMPLETE" and t.values]
    if len(complete) < _FEWEST:
        return []
    sign = -1.0 if summary.study.directions[0].name == "MAXIMIZE" else 1.0
    ranked = sorted(complete, key=lambda trial: (sign * trial.values[0], trial.number))
    return ranked[: math.ceil(BEST_PART * len(ranked))]


def region(name: str, trials: Sequence[FrozenTrial]) -> str:
    """Where a parameter lies in these trials: «0.01 to 0.05», «adam 8, sgd 2; not used in 1 of 11»."""
    using = [trial for trial in trials if name in trial.params]
    if not using or not hasattr(using[0].distributions[name], "choices"):
        return spread(name, trials)
    counted = Counter(choice(trial.params[name]) for trial in using).most_common()
    words = [f"{text} {n}" for text, n in counted[:_MOST_CHOICES]]
    more = [f"{len(counted) - _MOST_CHOICES} more choices"] if len(counted) > _MOST_CHOICES else []
    return _with_lacking(", ".join([*words, *more]), len(trials) - len(using), len(trials))


def strip(name: str, trials: Sequence[FrozenTrial]) -> tuple[float, float] | None:
    """Where that is within the searched range, both ends from 0 to 100; None for choices and for nothing."""
    using = [trial for trial in trials if name in trial.params]
    if not using or hasattr(using[0].distributions[name], "choices"):
        return None
    ranges: list[Any] = [trial.distributions[name] for trial in using]
    low, high = min(one.low for one in ranges), max(one.high for one in ranges)
    values = [trial.params[name] for trial in using]
    if all(one.log for one in ranges):
        low, high, *values = (math.log(value) for value in (low, high, *values))
    if not low < high:
        return None
    return 100 * (min(values) - low) / (high - low), 100 * (max(values) - low) / (high - low)


def spread(name: str, trials: Sequence[FrozenTrial]) -> str:
    """The values of a parameter in these trials: «0.1», «0.1 to 0.3», «adam, sgd; not used in 1 of 3»."""
    using = [trial for trial in trials if name in trial.params]
    if not using:
        return "not used" if trials else "–"
    values = [trial.params[name] for trial in using]
    if hasattr(using[0].distributions[name], "choices"):
        text = ", ".join(dict.fromkeys(map(choice, values)))
    else:
        text = " to ".join(dict.fromkeys(map(choice, (min(values), max(values)))))
    return _with_lacking(text, len(trials) - len(using), len(trials))


def _with_lacking(text: str, lacking: int, of: int) -> str:
    return f"{text}; not used in {lacking} of {of}" if lacking else text


def describe(distribution: Any) -> str:
    """A distribution for people: «0.001 to 0.1, log», «1 to 5, step 2, integer», «one of adam, sgd»."""
    if hasattr(distribution, "choices"):
        return "one of " + ", ".join(map(str, distribution.choices))
    words = [f"{number(distribution.low)} to {number(distribution.high)}"]
    words += ["log"] if distribution.log else []
    words += [f"step {number(distribution.step)}"] if distribution.step not in (None, 1) else []
    words += ["integer"] if type(distribution).__name__ == "IntDistribution" else []
    return ", ".join(words)
