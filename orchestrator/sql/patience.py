"""Trying again: work that a database may refuse for a while in; its result out, two lines on an outage."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import exc

from orchestrator.spec import STORAGE_PATIENCE_S
from orchestrator.sql.failures import Trouble, said, trouble
from orchestrator.sql.waiting import HASTY, LASTING, USUAL, Pace

T = TypeVar("T")

log = logging.getLogger("nano_hpo")

HASTE_S = 1.0
BUSY_S = 120.0  # others always get out of the way: the user's patience is with a server that is away
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.02, 2.0
_WORTH_A_LINE_S = 1.0


class Patience:
    """Repeats work with back-off and jitter while the database is away, for ``seconds`` at most.

    An outage is logged once, when it has lasted a second, and its end once. Inside :meth:`hasty` nothing is
    logged: what is tried there can be done later, and its caller says what that means.
    """

    def __init__(self, seconds: float = STORAGE_PATIENCE_S) -> None:
        self.seconds = seconds
        self.gives_up: Callable[[], bool] = lambda: False  # asked before something is repeated
        self.hears_of_waiting: Callable[[bool], None] = lambda is_waiting: None
        self._is_hasty = False
        self._away_since_s: float | None = None
        self._has_said = False

    @contextmanager
    def hasty(self) -> Iterator[None]:
        """In this block work is repeated for a moment only, and a statement waits a few seconds at most."""
        self._is_hasty = True
        try:
            yield
        finally:
            self._is_hasty = False

    def keep_trying(self, work: Callable[[Pace], T]) -> T:
        """What ``work`` returns; its last error when that is lasting, or patience has run out.

        ``work`` hears at which pace it is wanted: in haste, as usual, or, once the server was away, lasting.
        """
        began_s, delay_s = time.monotonic(), _FIRST_DELAY_S
        pace = HASTY if self._is_hasty else USUAL
        while True:
            try:
                result = work(pace)
            except exc.DBAPIError as error:
                kind = trouble(error)
                left_s = self._allowed_s(kind) - (time.monotonic() - began_s)
                if left_s <= 0 or self.gives_up():
                    raise
                self._note_trouble(error)
                time.sleep(min(delay_s * random.uniform(0.5, 1.5), left_s))
                delay_s = min(delay_s * 2, _LONGEST_DELAY_S)
                if kind is Trouble.AWAY and pace is USUAL:
                    pace = LASTING
            else:
                self._note_answer()
                return result

    def _allowed_s(self, kind: Trouble) -> float:
        if kind is Trouble.LASTING:
            return 0.0
        allowed_s = self.seconds if kind is Trouble.AWAY else max(self.seconds, BUSY_S)
        return min(allowed_s, HASTE_S) if self._is_hasty else allowed_s

    def _note_trouble(self, error: exc.DBAPIError) -> None:
        now_s = time.monotonic()
        if self._away_since_s is None:
            self._away_since_s = now_s
            self.hears_of_waiting(True)
        if now_s - self._away_since_s < _WORTH_A_LINE_S or self._has_said or self._is_hasty:
            return
        self._has_said = True
        log.warning(
            "The database is in the way (%s); trying again for up to %g s.", said(error), self.seconds
        )

    def _note_answer(self) -> None:
        if self._away_since_s is None:
            return
        self.hears_of_waiting(False)
        if self._has_said:
            log.warning("The database answers again after %.0f s.", time.monotonic() - self._away_since_s)
        self._away_since_s, self._has_said = None, False
