"""Ids of runs while their study lands: an id where it came from in; the id where it goes to out.

A run is continued by its id, and its finished trials are counted by it. So until its study is whole a run has
an id of its own, as the study has a name of its own: what an import leaves that was killed counts for nobody,
and two imports of one file do not meet.
"""

from __future__ import annotations

import uuid

import sqlalchemy as sa

from orchestrator.sql.schema import agents, attempts, runs

_MAX_LENGTH = 191  # characters of the column


class RunIds:
    """The runs of one study that lands."""

    def __init__(self) -> None:
        self._landing: dict[str, str] = {}  # there: here

    def while_landing(self, there: str) -> str:
        """An id that no other run has, and that says which run it is."""
        if there not in self._landing:
            suffix = f"-{uuid.uuid4().hex[:8]}"
            self._landing[there] = there[: _MAX_LENGTH - len(suffix)] + suffix
        return self._landing[there]

    def settle(self, c: sa.Connection) -> None:
        """Give each run its old id, by which its run directory knows it, where no other run has that here."""
        for there, here in self._landing.items():
            if not _is_taken(c, there):
                _rename(c, here, there)


def _is_taken(c: sa.Connection, run_id: str) -> bool:
    """Whether there is such a run; the lock makes MySQL look at what is there now, and keep it so."""
    query = sa.select(runs.c.run_id).where(runs.c.run_id == run_id).with_for_update()
    return c.execute(query).scalar() is not None


def _rename(c: sa.Connection, old: str, new: str) -> None:
    """Only a run that is told of: attempts at a run without a row must not count for one that comes later."""
    if c.execute(sa.update(runs).where(runs.c.run_id == old).values(run_id=new)).rowcount == 1:
        for table in (agents, attempts):
            c.execute(sa.update(table).where(table.c.run_id == old).values(run_id=new))
