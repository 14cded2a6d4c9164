"""Turns that threads take: a re-entrant lock that a forked child finds free, whoever held it before."""

from __future__ import annotations

import os
import threading
from types import TracebackType
from weakref import WeakSet

_all: WeakSet[Turn] = WeakSet()


class Turn:
    """``with turn:`` as with an ``RLock``.

    After a fork nobody is left to give back what another thread of the parent had taken; what that thread
    was changing may be half changed, so who guards more than a cache must begin anew in the child.
    """

    def __init__(self) -> None:
        self._make()
        _all.add(self)

    def _make(self) -> None:
        self._lock = threading.RLock()
        self._holder: int | None = None
        self._depth = 0

    def __enter__(self) -> Turn:
        self._lock.acquire()
        self._holder = threading.get_ident()
        self._depth += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if not self._depth:
            self._holder = None
        self._lock.release()

    def _renew(self) -> None:
        """In a child: the thread that forked lives on in it, with what it holds; the others do not."""
        if self._holder != threading.get_ident():
            self._make()


def _renew_all() -> None:
    for turn in list(_all):
        turn._renew()


os.register_at_fork(after_in_child=_renew_all)
