"""Whose turn it is: guests who have asked for something in; each with a lender out, in the same order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Any

from orchestrator.relay.door import Guest
from orchestrator.relay.lender import Lender
from orchestrator.relay.source import Source

_PAUSE_S = 5.0  # after the server has refused a connection, until another one is tried


class Desk:
    """At most ``n_lenders`` real connections; the one used last is used first, so that others may close.

    A server may give fewer: then those that there are serve everybody. ``is_served`` is called with each
    guest whose transaction has ended.
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
        self._may_open_at_s = 0.0

    def queue(self, guest: Guest) -> None:
        """He has asked for something."""
        with self._lock:
            self._waiting.append(guest)
            self._assign()

    def _assign(self) -> None:
        """Those who wait to lenders who are free, while there are both. The lock is held, as for the next."""
        while self._waiting and (lender := self._free()) is not None:
            guest = self._waiting.popleft()
            self._at[guest] = lender
            lender.give(guest)

    def _free(self) -> Lender | None:
        """Who is to serve the next guest: rather one with a connection than one who has to open it.

        For a while after a refusal nobody opens one, as long as somebody is at work who will be free then.
        """
        for lender in reversed(self._idle):
            if lender.has_connection:
                self._idle.remove(lender)
                return lender
        if self._at and time.monotonic() < self._may_open_at_s:
            return None
        if self._idle:
            return self._idle.pop()
        if len(self._lenders) == self._n_lenders:
            return None
        self._lenders.append(Lender(self._source, *self._limits_s, self._is_free, self._is_refused))
        return self._lenders[-1]

    def _is_free(self, lender: Lender, guest: Guest) -> None:
        """A lender has done with a guest, who was served, or was given to another one."""
        with self._lock:
            is_served = self._at.get(guest) is lender
            if is_served:
                del self._at[guest]
            self._idle.append(lender)
            self._assign()
        if is_served:
            self._is_served(guest)

    def _is_refused(self, lender: Lender, guest: Guest, request: Any) -> bool:
        """The server gives no further connection for what a guest asks: whether another lender will do it."""
        with self._lock:
            self._may_open_at_s = time.monotonic() + _PAUSE_S
            if len(self._at) == 1 and not any(idle.has_connection for idle in self._idle):
                return False  # nobody else is at work
            guest.asked = request
            del self._at[guest]
            self._waiting.appendleft(guest)
            self._assign()
            return True

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
