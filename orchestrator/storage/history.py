"""What happened in a study: its attempts, read back from the database."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from orchestrator.records import AttemptRecord
from orchestrator.sql.database import Database
from orchestrator.sql.schema import agents, attempts, trials
from orchestrator.storage.runs import utc

_OF_AGENT = (agents.c.rank, agents.c.host, agents.c.job, agents.c.heartbeat_s)


def attempts_of(database: Database, study_id: int) -> tuple[AttemptRecord, ...]:
    """All attempts at the trials of a study, in order of their start."""
    query = (
        sa.select(attempts, trials.c.number, *_OF_AGENT)
        .join(trials, trials.c.trial_id == attempts.c.trial_id)
        .join(agents, agents.c.agent_id == attempts.c.agent_id)
        .where(trials.c.study_id == study_id)
        .order_by(attempts.c.start_s)
    )
    return tuple(_attempt(row) for row in database.read(lambda c: c.execute(query).all()))


def _attempt(row: sa.Row[Any]) -> AttemptRecord:
    return AttemptRecord(
        token=row.token,
        trial_number=row.number,
        run_id=row.run_id,
        rank=row.rank,
        host=row.host,
        slot=row.slot,
        cpus=row.cpus,
        cpu_model=row.cpu_model,
        slot_width=row.slot_width,
        pid=row.pid,
        start=utc(row.start_s),
        end=utc(row.end_s) if row.end_s is not None else None,
        objective_s=row.objective_s,
        cause=row.cause,
        exit_status=row.exit_status,
        peak_rss_mib=row.peak_rss_mib,
        attempt=row.attempt or 1,
        detail=row.detail or "",
        cpu_s=row.cpu_s,
        job=row.job,
        heard=utc(row.heartbeat_s) if row.heartbeat_s else None,  # one that was imported has none
    )
