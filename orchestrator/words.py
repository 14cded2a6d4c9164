"""Numbers for people: a count and the thing that is counted in, words out."""

from __future__ import annotations


def how_many(n: int, what: str) -> str:
    """«1 trial», «12,345 trials», «2 studies»."""
    many = f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    return f"1 {what}" if n == 1 else f"{n:,} {many}"
