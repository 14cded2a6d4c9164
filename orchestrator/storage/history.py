"""What happened in a study: its attempts and the slots of a run, read back from the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from affinity import format_list
from orchestrator.machine_report import host_record
from orchestrator.records import AttemptRecord, HostRecord, PoolRecord, SlotRecord
from orchestrator.sql.database import Database
from orchestrator.sql.schema import agents, attempts, trials
from orchestrator.storage.runs import RunTable, StoredAgent, utc


def attempts_of(database: Database, study_id: int) -> tuple[AttemptRecord, ...]:
    """All attempts at the trials of a study, in order of their start."""
    query = (
        sa.select(attempts, trials.c.number, agents.c.rank, agents.c.host, agents.c.job)
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
    )


def slots_of(database: Database, run_id: str, of_study: Sequence[AttemptRecord]) -> tuple[SlotRecord, ...]:
    """The slots of a run's latest agents as reported; of an agent that never did, from its attempts."""
    slots: list[SlotRecord] = []
    for agent in last_launch(RunTable(database).agents_of(run_id)):
        if agent.report is not None:
            slots += [_slot({**data, "job": agent.job}) for data in agent.report["slots"]]
        else:
            mine = [a for a in of_study if (a.run_id, a.rank, a.job) == (run_id, agent.rank, agent.job)]
            slots += _unreported(mine, "yet" if not agent.ended and not agent.stale else "")
    return tuple(slots)


def hosts_of(database: Database, run_id: str) -> tuple[HostRecord, ...]:
    """The machines of a run's latest agents, by name; without those of which nothing was told (yet)."""
    found: dict[str, HostRecord] = {}
    for agent in last_launch(RunTable(database).agents_of(run_id)):
        told = (agent.report or {}).get("machine")
        host = agent.process.host
        record = None if told is None or host in found else host_record(host, told)
        if record is not None:
            found[host] = record
    return tuple(found[host] for host in sorted(found))


def last_launch(agents: Sequence[StoredAgent]) -> list[StoredAgent]:
    """The latest agent of each rank of the last launch; the tasks of a job array are one launch."""
    if not agents:
        return []
    array = _array_of(agents[-1])
    latest = {(agent.job or "", agent.rank): agent for agent in agents if _array_of(agent) == array}
    return [agent for _, agent in sorted(latest.items(), key=lambda item: item[0])]


def _array_of(agent: StoredAgent) -> str | None:
    return agent.job.partition("_")[0] if agent.job is not None else None


def absent_ranks(database: Database, run_id: str) -> tuple[str, ...]:
    """Which ranks of the last launch never took part, or have left without a report: a line each."""
    agents = last_launch(RunTable(database).agents_of(run_id))
    lines: list[str] = []
    for job in sorted({agent.job or "" for agent in agents}):
        there = {agent.rank: agent for agent in agents if (agent.job or "") == job}
        of_job = f" of job {job}" if job else ""
        n_ranks = max(agent.n_ranks for agent in there.values())
        missing = sorted(set(range(n_ranks)) - there.keys())
        if missing:
            lines.append(f"{_ranks(missing)}{of_job} never took part")
        silent = sorted(rank for rank, agent in there.items() if agent.ended and not agent.said_goodbye)
        if silent:
            hosts = ", ".join(sorted({there[rank].process.host for rank in silent}))
            lines.append(f"{_ranks(silent)}{of_job} on {hosts} was lost before it reported")
    return tuple(lines)


def _ranks(numbers: Sequence[int]) -> str:
    return f"rank {numbers[0]}" if len(numbers) == 1 else f"ranks {format_list(numbers)}"


def _slot(data: dict[str, Any]) -> SlotRecord:
    plain = dict(data)
    plain["numa_nodes"] = tuple(plain["numa_nodes"])
    plain["got_pools"] = tuple(PoolRecord(**pool) for pool in plain["got_pools"])
    plain["problems"] = tuple(plain["problems"])
    return SlotRecord(**plain)


def _unreported(mine: Sequence[AttemptRecord], yet: str) -> list[SlotRecord]:
    """What the attempts alone tell of the slots of an agent that has not reported (``yet``)."""
    slots = []
    for index in sorted({attempt.slot for attempt in mine}):
        done = [attempt for attempt in mine if attempt.slot == index]
        last_end = max((a.end for a in done if a.end is not None), default=done[0].start)
        slots.append(
            SlotRecord(
                rank=done[0].rank,
                host=done[0].host,
                slot=index,
                cpus=done[0].cpus,
                numa_nodes=(),
                threads=0,
                got_cpus=None,
                got_pools=(),
                problems=(f"its agent has not reported {yet}".strip(),),
                n_trials=sum(a.objective_s is not None for a in done),
                n_lost=sum(a.end is not None and a.objective_s is None for a in done),
                busy_s=sum(a.objective_s or 0.0 for a in done),
                alive_s=(last_end - done[0].start).total_seconds(),
                job=done[0].job,
            )
        )
    return slots
