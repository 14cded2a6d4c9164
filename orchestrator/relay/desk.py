"""Whose turn it is: guests who have asked for something in; each with a lender out, in the same order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock

from orchestrator.relay.door import Guest
from orchestrator.relay.lender import Lender
from orchestrator.relay.source import Source


class Desk:
    """At most ``n_lenders`` real connections; the one used last is used first, so that others may close.

    ``is_served`` is called with each guest whose transaction has ended.
    """

    def __init__(
        self, source: Source, n_lenders: int, hang_s: float, idle_s: float, is_served: Callable[[Guest], None]
    ) -> None:
        self._source = source
        self._n_lenders = n_lenders
        self._limits_s = hang_s, idle_s
        self._is_served = is_served
        self._lock = Lock()
        self._lenders: list[Lender] = []
        self._idle: list[Lender] = []
        self._waiting: deque[Guest] = deque()
        self._at: dict[Guest, Lender] = {}

    def queue(self, guest: Guest) -> None:
        """He has asked for something."""
        with self._lock:
            if self._idle:
                self._assign(guest, self._idle.pop())
            elif len(self._lenders) < self._n_lenders:
                self._lenders.append(Lender(self._source, *self._limits_s, self._next))
                self._assign(guest, self._lenders[-1])
            else:
                self._waiting.append(guest)

    def _assign(self, guest: Guest, lender: Lender) -> None:
        self._at[guest] = lender
        lender.give(guest)

    def _next(self, lender: Lender, served: Guest) -> Guest | None:
        """A lender has served a guest: the one who has waited longest, or nobody."""
        with self._lock:
            self._at.pop(served, None)
            guest = self._waiting.popleft() if self._waiting else None
            if guest is None:
                self._idle.append(lender)
            else:
                self._at[guest] = lender
        self._is_served(served)
        return guest

    def has_gone(self, guest: Guest) -> bool:
        """He has hung up; whether he is not here at all. What is executed for him is broken off."""
        guest.is_gone = True
        with self._lock:
            lender = self._at.get(guest)
            is_waiting = lender is not None or guest in self._waiting
        if lender is not None:
            lender.interrupt(guest)
        return not is_waiting

    @property
    def n_connections(self) -> int:
        """Real connections that are open now."""
        with self._lock:
            return sum(lender.has_connection for lender in self._lenders)

    def close(self, timeout_s: float) -> None:
        """Break off what is executed, undo it, and close the real connections."""
        with self._lock:
            lenders = [*self._lenders]
            self._waiting.clear()
        for lender in lenders:
            lender.give(None)
            lender.interrupt()
        for lender in lenders:
            lender.join(timeout_s)
