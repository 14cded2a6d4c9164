"""The last launch on a run: the rows of its agents in; its slots, its machines and who is missing out.

An agent tells of its machine when it begins, and of all that its slots did when it says goodbye. Of one that
is at work, or was killed, the attempts in the database say what was done; the last sign of it, when.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from affinity import format_list
from orchestrator.machine_report import host_record, slot_record
from orchestrator.records import AttemptRecord, HostRecord, SlotRecord
from orchestrator.sql.database import Database
from orchestrator.storage.runs import RunTable, StoredAgent, utc


@dataclass(frozen=True, slots=True)
class LastLaunch:
    """The latest agent of each rank; the tasks of a job array are one launch.

    machines: what they have told of their machines, by their ids.
    """

    agents: tuple[StoredAgent, ...] = ()
    machines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, database: Database, run_id: str) -> LastLaunch:
        """Read it; two statements."""
        runs = RunTable(database)
        agents = _latest(runs.agents_of(run_id))
        return cls(agents, runs.machines_of([agent.agent_id for agent in agents]))

    def slots(self, of_study: Sequence[AttemptRecord]) -> tuple[SlotRecord, ...]:
        """The slots as reported; of an agent that has not reported, as promised and used."""
        slots: list[SlotRecord] = []
        for agent in self.agents:
            if agent.report is not None:
                slots += [slot_record(data, agent.job) for data in agent.report["slots"]]
            else:
                told = self.machines.get(agent.agent_id, {}).get("slots", ())
                slots += _unreported(agent, [slot_record(data, agent.job) for data in told], of_study)
        return tuple(slots)

    def hosts(self) -> tuple[HostRecord, ...]:
        """The machines by name; without those of which nothing was told."""
        found: dict[str, HostRecord] = {}
        for agent in self.agents:
            # Version 0.1.0 told of its machine in its report.
            told = self.machines.get(agent.agent_id) or (agent.report or {}).get("machine")
            host = agent.process.host
            record = None if told is None or host in found else host_record(host, told)
            if record is not None:
                found[host] = record
        return tuple(found[host] for host in sorted(found))

    def absent(self) -> tuple[str, ...]:
        """Which ranks never took part, or are gone without a report: a line each."""
        lines: list[str] = []
        for job in sorted({agent.job or "" for agent in self.agents}):
            there = {agent.rank: agent for agent in self.agents if (agent.job or "") == job}
            of_job = f" of job {job}" if job else ""
            n_ranks = max(agent.n_ranks for agent in there.values())
            missing = sorted(set(range(n_ranks)) - there.keys())
            if missing:
                lines.append(f"{_ranks(missing)}{of_job} never took part")
            silent = sorted(rank for rank, agent in there.items() if _is_lost(agent))
            if silent:
                hosts = ", ".join(sorted({there[rank].process.host for rank in silent}))
                lines.append(f"{_ranks(silent)}{of_job} on {hosts} was lost before it reported")
        return tuple(lines)


def _latest(agents: Sequence[StoredAgent]) -> tuple[StoredAgent, ...]:
    """The latest agent of each rank of the last launch."""
    if not agents:
        return ()
    array = _array_of(agents[-1])
    latest = {(agent.job or "", agent.rank): agent for agent in agents if _array_of(agent) == array}
    return tuple(agent for _, agent in sorted(latest.items(), key=lambda item: item[0]))


def _array_of(agent: StoredAgent) -> str | None:
    return agent.job.partition("_")[0] if agent.job is not None else None


def _is_lost(agent: StoredAgent) -> bool:
    return not agent.said_goodbye and not agent.is_live


def _ranks(numbers: Sequence[int]) -> str:
    return f"rank {numbers[0]}" if len(numbers) == 1 else f"ranks {format_list(numbers)}"


def _unreported(
    agent: StoredAgent, told: Sequence[SlotRecord], of_study: Sequence[AttemptRecord]
) -> Iterator[SlotRecord]:
    """The slots that an agent has told of, or that have attempts, by what their attempts say."""
    begun, is_lost = utc(agent.start_s), _is_lost(agent)
    mine = [a for a in of_study if _seat(a) == (agent.run_id, agent.rank, agent.job) and a.start >= begun]
    promised = {slot.slot: slot for slot in told}
    for index in sorted({*promised, *(attempt.slot for attempt in mine)}):
        done = [attempt for attempt in mine if attempt.slot == index]
        yield _used(promised.get(index) or _of_attempt(done[0]), done, agent, is_lost)


def _seat(attempt: AttemptRecord) -> tuple[str, int, str | None]:
    return attempt.run_id, attempt.rank, attempt.job


def _of_attempt(attempt: AttemptRecord) -> SlotRecord:
    """A slot of which nothing is known but an attempt in it."""
    return SlotRecord(
        rank=attempt.rank,
        host=attempt.host,
        slot=attempt.slot,
        cpus=attempt.cpus,
        numa_nodes=(),
        threads=0,
        job=attempt.job,
    )


def _used(slot: SlotRecord, done: Sequence[AttemptRecord], agent: StoredAgent, is_lost: bool) -> SlotRecord:
    """The slot with what it did between the first and the last sign of its agent; the rest is not known."""
    until = max([utc(agent.last_s), *(a.end for a in done if a.end is not None)])
    lost = [a for a in done if a.objective_s is None and (a.end is not None or is_lost)]
    running = [a for a in done if a.end is None and not is_lost]
    return replace(
        slot,
        n_trials=sum(a.objective_s is not None for a in done),
        n_lost=len(lost),
        busy_s=sum(a.objective_s or 0.0 for a in done) + sum(_seconds(a.start, until) for a in running),
        alive_s=_seconds(utc(agent.start_s), until),
        starting_s=None,
        waited_s=None,
        lost_s=sum(_seconds(a.start, a.end or until) for a in lost),
    )


def _seconds(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())
