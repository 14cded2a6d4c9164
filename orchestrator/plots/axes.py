"""Ticks of an axis of a parameter: its distribution and the visible range in, a few plain numbers out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

_CLOSE = 1e-9  # a tick on the edge of the range is inside, whatever rounding did to the edge


@dataclass(frozen=True, slots=True)
class Scale:
    """How an axis counts: by factors or by steps, in whole numbers or not, and which values it knows."""

    log: bool = False
    integer: bool = False
    known: Sequence[float] = ()  # ascending; empty: any value


@dataclass(frozen=True, slots=True)
class Ticks:
    """Where ticks are, ascending, and what they say."""

    values: tuple[float, ...]
    texts: tuple[str, ...]


def scale_of(distribution: BaseDistribution) -> Scale | None:
    """The scale of a parameter; None for choices that are no numbers, which name themselves."""
    if isinstance(distribution, IntDistribution):
        known = range(distribution.low, distribution.high + 1, distribution.step)
        return Scale(distribution.log, integer=True, known=known)
    if isinstance(distribution, FloatDistribution):
        return Scale(distribution.log)
    assert isinstance(distribution, CategoricalDistribution)
    numbers = [c for c in distribution.choices if isinstance(c, int | float) and not isinstance(c, bool)]
    if len(numbers) < len(distribution.choices):
        return None
    return Scale(integer=all(isinstance(c, int) for c in numbers), known=sorted(numbers))


def ticks(scale: Scale, low: float, high: float, most: int = 4) -> Ticks:
    """At most ``most`` (3 or more) ticks from low to high: the values themselves, where they are few enough.

    Otherwise whole decades where a log axis has two of them, else round numbers; of a parameter of whole
    numbers, whole numbers alone. A log axis has ``low`` > 0.
    """
    values = _known(scale.known, low, high, most)
    if not values and scale.log:
        values = _decades(low, high, most) or _within_a_decade(low, high, most)
    if not values:
        values = _even(low, high, most, whole=scale.integer)
    return Ticks(tuple(values), tuple(_texts(values, scale.integer)))


def _known(known: Sequence[float], low: float, high: float, most: int) -> list[float]:
    """The known values inside, where there are at most ``most``; a range may be long, so none is listed."""
    if isinstance(known, range):
        first = max(0, math.ceil((low - known.start) / known.step - _CLOSE))
        last = min(len(known) - 1, math.floor((high - known.start) / known.step + _CLOSE))
        return [float(value) for value in known[first : last + 1]] if last - first < most else []
    inside = [float(value) for value in known if low <= value <= high]
    return inside if len(inside) <= most else []


def _decades(low: float, high: float, most: int) -> list[float]:
    first = math.ceil(math.log10(low) - _CLOSE)
    last = math.floor(math.log10(high) + _CLOSE)
    if last <= first:
        return []
    stride = math.ceil((last - first + 1) / most)
    return [float(f"1e{exponent}") for exponent in range(first, last + 1, stride)]


def _within_a_decade(low: float, high: float, most: int) -> list[float]:
    """1, 2, 5 or 1, 3 times powers of ten, whichever give two ticks or more and not too many."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for mantissas in ((1, 2, 5), (1, 3)):
        found = [float(f"{m}e{e}") for e in exponents for m in mantissas]
        inside = [value for value in found if low * (1 - _CLOSE) <= value <= high * (1 + _CLOSE)]
        if 2 <= len(inside) <= most:
            return inside
    return []


def _even(low: float, high: float, most: int, whole: bool) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, the finest that are few enough."""
    if not low < high:
        return [low]
    for step in _steps((high - low) / (2 * most)):
        if whole and step < 1:
            continue
        first, last = math.ceil(low / step - _CLOSE), math.floor(high / step + _CLOSE)
        if last - first < most:
            return [float(f"{index * step:.12g}") for index in range(first, last + 1)]
    raise AssertionError("steps grow without end")


def _steps(least: float) -> Iterator[float]:
    exponent = math.floor(math.log10(least))
    while True:
        yield from (float(f"{mantissa}e{exponent}") for mantissa in (1, 2, 5))
        exponent += 1


def _texts(values: Sequence[float], integer: bool) -> list[str]:
    """The numbers in one notation: whole, decimal, or powers of ten where zeros would hide them."""
    if integer:
        return [f"{value:.0f}" for value in values]
    sizes = [abs(value) for value in values if value]
    if sizes and (min(sizes) < 1e-3 or max(sizes) >= 1e5):
        return [_power(value) for value in values]
    return [f"{value:.6g}" for value in values]


def _power(value: float) -> str:
    """«1e-5», «2.5e4», «0»."""
    mantissa, exponent = f"{value:.5e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}" if value else "0"
