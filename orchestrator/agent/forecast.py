"""How long will a trial take? Durations of finished ones in; the time that most of them needed out. Pure."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

USUAL = 0.9  # so many of the trials seen finish within the time that is forecast
ENOUGH = 3  # of fewer nothing is told
KEPT = 1000  # the latest durations: a sampler may move on to longer trials


class Forecast:
    """Quantiles of the durations of attempts that returned a value.

    Pruned and failed trials are left out: they are shorter, and which trial will be one is not known before.
    Of a trial that has gone on from a checkpoint its last attempt counts: that is how long one attempt takes
    here. No trial takes longer than ``limit_s``, where there is a limit.
    """

    def __init__(self, limit_s: float | None = None) -> None:
        self._limit_s = math.inf if limit_s is None else limit_s
        self._seen_s: deque[float] = deque(maxlen=KEPT)

    def saw(self, durations_s: Iterable[float]) -> None:
        """Attempts took so many seconds, the latest last."""
        self._seen_s.extend(durations_s)

    def takes_s(self, quantile: float) -> float | None:
        """The least duration seen that so large a part of them did not exceed; None: too few are known.

        By nearest rank: of fewer than ten durations 90 % is the longest.
        """
        if len(self._seen_s) < ENOUGH:
            return None
        rank = math.ceil(quantile * len(self._seen_s))
        return min(sorted(self._seen_s)[rank - 1], self._limit_s)
