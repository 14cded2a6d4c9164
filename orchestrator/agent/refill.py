"""Empty slots of one agent in; new workers in them, or why there is no sense in that, out."""

from __future__ import annotations

import time
from collections.abc import Callable

from launchers import SpawnError
from orchestrator.agent.crew import Crew
from orchestrator.agent.work_left import WorkLeft
from orchestrator.errors import ObjectiveError
from orchestrator.objective import ObjectiveRef

_MAX_DEATHS = 8  # of the workers of one slot in a row, with no trial finished between
_MAX_LOADS = 2  # deaths of a worker that loads the objective before the run begins


class Refill:
    """Puts a new worker where one has died or was done; ``note`` tells people what the system refuses."""

    def __init__(self, crew: Crew, objective: ObjectiveRef, note: Callable[[str], None]) -> None:
        self._crew = crew
        self._objective = objective
        self._note = note

    def load_again(self) -> None:
        """Before the run begins. ``ObjectiveError``: that is what ends them. Raises ``SpawnError``, too."""
        for worker in self._crew.workers:
            if worker.deaths >= _MAX_LOADS:
                how = f"{worker.last_exit}; its last words: {worker.last_words()}"
                raise ObjectiveError(f"{self._objective} ends the process that loads it: {how}")
            if not worker.is_running and time.monotonic() >= worker.retry_at_s:
                self._crew.start(worker)

    def go_on(self, work: WorkLeft) -> str | None:
        """While the run has work. Why to give up instead: the workers of a slot only ever die."""
        now_s = time.monotonic()
        for worker in self._crew.workers:
            if worker.is_running or not work.may_be_found():
                continue
            if worker.deaths >= _MAX_DEATHS:
                reason = f"the workers of slot {worker.slot.index} die before they finish a trial"
                return f"{reason}; see {worker.log}"
            if now_s >= worker.retry_at_s:
                try:
                    self._crew.start(worker)
                except SpawnError as error:  # it may pass, as when there are too many processes
                    worker.could_not_start(str(error))
                    self._note(str(error))
        return None
