"""Who works on a study now: its runs in; the agents of ours that live out."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.sql.database import Database
from orchestrator.storage.runs import RunTable, StoredAgent


def agents_at_work(database: Database, run_ids: Iterable[str]) -> list[StoredAgent]:
    """The agents of these runs that take part, on this machine by their process, elsewhere by heartbeat."""
    table = RunTable(database)
    return [agent for run_id in run_ids for agent in table.agents_of(run_id) if agent.is_live]
