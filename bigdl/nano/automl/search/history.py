"""The history of a training as it is stored: numbers by epoch in; what fits an attribute out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

_DIGITS = 7  # what single precision holds
_MAX_BYTES = 40_000  # of a stored history: Optuna's attributes are TEXT, 65,535 bytes on MySQL


def compact(history: Mapping[str, Sequence[float]]) -> dict[str, list[float | None]]:
    """A history of rounded numbers that fits an attribute; of a long one every second, fourth … epoch.

    What is no number (NaN, infinity) is None: not every reader of JSON knows such.
    """
    n_numbers = sum(len(values) for values in history.values())
    n_most = max(1, _MAX_BYTES // 14)
    step = 1
    while n_numbers / step > n_most:
        step *= 2
    return {name: [_rounded(value) for value in values[::step]] for name, values in history.items()}


def _rounded(value: float) -> float | None:
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
