"""What was looked at: its verdict, what was seen and the next step; a list of them in, text or JSON out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import groupby
from typing import Any


class Verdict(Enum):
    """How a thing was found; the value is its sign on a terminal."""

    GOOD = "✓"
    MIND = "!"  # it works, and may cost something
    BAD = "✗"  # a run would not work
    NONE = "-"  # it does not apply here


@dataclass(frozen=True, slots=True)
class Check:
    """``step`` is what to do about it; a good thing needs none. ``area`` is what the topic belongs to."""

    topic: str
    verdict: Verdict
    said: str
    step: str | None = None
    area: str = ""


def good(topic: str, said: str) -> Check:
    """Nothing to do."""
    return Check(topic, Verdict.GOOD, said)


def mind(topic: str, said: str, step: str) -> Check:
    """It works, and may cost something."""
    return Check(topic, Verdict.MIND, said, step)


def bad(topic: str, said: str, step: str) -> Check:
    """A run would not work."""
    return Check(topic, Verdict.BAD, said, step)


def none(topic: str, said: str) -> Check:
    """It does not apply here; ``said`` is why, and what would change that."""
    return Check(topic, Verdict.NONE, said)


def within(area: str, checks: Iterable[Check]) -> Iterator[Check]:
    """The same checks, which belong to that area."""
    return (replace(check, area=area) for check in checks)


def render(checks: Sequence[Check]) -> str:
    """A line for each below its area's name, its next step below it; last how many are to be minded."""
    width = max(len(check.topic) for check in checks)
    lines: list[str] = []
    for area, some in groupby(checks, key=lambda check: check.area):
        lines += ["", area] if area and lines else [area] if area else []
        for check in some:
            lines.append(f"{check.verdict.value} {check.topic:<{width}}  {check.said}")
            if check.step is not None:
                lines.append(f"  {'':<{width}}  → {check.step}")
    return "\n".join([*lines, "", _total(checks)])


def _total(checks: Sequence[Check]) -> str:
    n_bad, n_mind = (sum(one.verdict is verdict for one in checks) for verdict in (Verdict.BAD, Verdict.MIND))
    minded = f"{n_mind} thing{'s' * (n_mind != 1)} to mind"
    if n_bad:
        return f"{n_bad} problem{'s' * (n_bad != 1)}: a run would not work; {minded}."
    return f"No problem; {minded}." if n_mind else "All is well."


def as_json(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """Plain data; verdicts are "good", "mind", "bad" and "none"."""
    return [
        {
            "area": c.area,
            "topic": c.topic,
            "verdict": c.verdict.name.lower(),
            "said": c.said,
            "step": c.step,
        }
        for c in checks
    ]
