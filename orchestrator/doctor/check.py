"""What was looked at: its verdict, what was seen and the next step; a list of them in, text or JSON out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Verdict(Enum):
    """How a thing was found; the value is its sign on a terminal."""

    GOOD = "✓"
    MIND = "!"  # it works, and may cost something
    BAD = "✗"  # a run would not work


@dataclass(frozen=True, slots=True)
class Check:
    """``step`` is what to do about it; a good thing needs none."""

    topic: str
    verdict: Verdict
    said: str
    step: str | None = None


def good(topic: str, said: str) -> Check:
    """Nothing to do."""
    return Check(topic, Verdict.GOOD, said)


def mind(topic: str, said: str, step: str) -> Check:
    """It works, and may cost something."""
    return Check(topic, Verdict.MIND, said, step)


def bad(topic: str, said: str, step: str) -> Check:
    """A run would not work."""
    return Check(topic, Verdict.BAD, said, step)


def render(checks: Sequence[Check]) -> str:
    """A line for each, its next step below it."""
    width = max(len(check.topic) for check in checks)
    lines = []
    for check in checks:
        lines.append(f"{check.verdict.value} {check.topic:<{width}}  {check.said}")
        if check.step is not None:
            lines.append(f"  {'':<{width}}  → {check.step}")
    return "\n".join(lines)


def as_json(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """Plain data; verdicts are "good", "mind" and "bad"."""
    return [
        {"topic": c.topic, "verdict": c.verdict.name.lower(), "said": c.said, "step": c.step} for c in checks
    ]
