"""``python -m affinity.probe``: a process that says what it got, and how fast it is, as a line of JSON each.

It imports numpy, computes once with its thread pool, touches memory, and says what it observes. Then each
line ``bench SECONDS`` on its input is answered by two rates, until the input ends.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from affinity.observe import observe

_TOUCHED_MIB = 64
_PATIENCE_S = 30.0  # nobody waits for anything else
_MATRIX = 768
_TRIAD_MIB = 64  # each of three arrays: more than a slot's share of most caches


def main() -> None:
    """Serve on standard input and output."""
    import numpy as np

    touched = np.ones(_TOUCHED_MIB * 2**17)
    matrix = np.ones((_MATRIX, _MATRIX))
    matrix @ matrix
    print(json.dumps(_seen()), flush=True)
    del touched
    arrays: list[Any] = []
    for line in sys.stdin:
        if not arrays:
            arrays = [np.ones(_TRIAD_MIB * 2**17) for _ in range(3)]
        seconds = float(line.split()[1]) / 2
        print(
            json.dumps({"triad_gib_s": _triad(arrays, seconds), "gflop_s": _matmul(matrix, seconds)}),
            flush=True,
        )


def _seen() -> dict[str, Any]:
    seen = asdict(observe(memory_s=_PATIENCE_S))
    return seen | {"memory_mib": {str(node): mib for node, mib in seen["memory_mib"].items()}}


def _triad(arrays: list[Any], seconds: float) -> float:
    """GiB/s of a = b + s·c, by one thread, as numpy has: all that is read and written counts."""
    import numpy as np

    a, b, c = arrays

    def once() -> None:
        np.multiply(c, 3.0, out=a)
        np.add(a, b, out=a)

    return _rate(once, seconds) * 5 * float(a.nbytes) / 2**30


def _matmul(matrix: Any, seconds: float) -> float:
    """GFLOP/s of a product in double precision, by all threads of the pool."""
    return _rate(lambda: matrix @ matrix, seconds) * 2 * _MATRIX**3 / 1e9


def _rate(once: Callable[[], object], seconds: float) -> float:
    """Calls per second, over so many seconds and at least one call."""
    once()
    n, began_s = 0, time.perf_counter()
    while (took_s := time.perf_counter() - began_s) < seconds or n == 0:
        once()
        n += 1
    return n / took_s


if __name__ == "__main__":
    main()
