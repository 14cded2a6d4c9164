"""What is known of machines: while a run goes on, of a killed agent, of a search in the process itself."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from affinity import format_list, read_allowance, read_topology
from launchers import read_rank
from orchestrator import Summary, search
from orchestrator.agent.account import Account
from orchestrator.agent.slot_worker import SlotWorker
from orchestrator.host import this_process
from orchestrator.launching.launch import Launch
from orchestrator.machine import read_share
from orchestrator.machine_report import planned, slot_record
from orchestrator.paths import RunPaths
from orchestrator.plots import figures
from orchestrator.report import render
from orchestrator.spec import RunSpec
from orchestrator.sql.database import Database
from orchestrator.sql.opening import open_database
from orchestrator.storage.last_launch import LastLaunch
from orchestrator.storage.runs import RunTable
from orchestrator.summarise import summarise
from orchestrator.versions import version_of, versions_at_work
from tests.orchestrator.conftest import CommandLine

DRAWN = re.compile(r'title="PU \d+: slot 0"')
LOST = f"rank 0 on {this_process().host} was lost before it reported"


def test_the_machine_is_known_while_a_run_goes_on_and_after_its_agent_was_killed(
    cli: CommandLine, storage_url: str
) -> None:
    where = ("--storage", storage_url, "--study-name", "s")
    run = cli.start("run", "job.py:held", "-n", 3, *where, "--run-dir", "r", "--draw", "none", "--quiet")
    wait_until(lambda: (cli.cwd / "began-0").exists(), run.poll)
    database = open_database(storage_url, creates=False)

    first = summarise(database, "s", storage_url)
    assert [host.host for host in first.hosts] == [this_process().host]
    assert first.hosts[0].topology.cpu_model == read_topology().cpu_model
    assert first.hosts[0].versions["optuna"] == version_of("optuna")
    assert [(slot.slot, slot.cpus, slot.problems, slot.n_lost) for slot in first.slots] == [
        (0, first.attempts[0].cpus, (), 0)
    ]
    assert first.absent == ()

    wait_until(lambda: summarise(database, "s", storage_url).slots[0].is_seen, run.poll)
    seen = summarise(database, "s", storage_url)
    assert seen.slots[0].got_cpus == seen.slots[0].cpus
    assert 0 < seen.slots[0].busy_s <= seen.slots[0].alive_s
    done = cli("report", *where, "--run-dir", "seen", "--draw", "html")
    assert "got unknown" not in done.out
    page = (cli.cwd / "seen" / "report.html").read_text(encoding="utf-8")
    assert DRAWN.search(page)
    assert "Environment of the last launch" in page
    assert "speed-up" not in page  # no trial has an end yet

    run.kill()
    run.wait()
    killed = summarise(database, "s", storage_url)
    assert killed.hosts == seen.hosts
    assert killed.slots[0].got_cpus == seen.slots[0].cpus
    assert (killed.slots[0].n_lost, killed.slots[0].busy_s) == (1, 0)
    assert killed.slots[0].lost_s
    assert killed.absent == (LOST,)
    assert killed.wall_s == summarise(database, "s", storage_url).wall_s  # it no longer grows
    page = render(killed, {})
    assert DRAWN.search(page)
    assert LOST in page
    database.close()


def test_a_search_in_this_process_has_its_machine_and_one_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    summary = search(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3, progress=False)
    assert isinstance(summary, Summary)
    (host,), (slot,) = summary.hosts, summary.slots
    assert host.host == slot.host == this_process().host
    assert host.allowed == read_allowance(read_topology()).pus
    assert host.kept == {"OMP_NUM_THREADS": "1"}
    assert slot.cpus == format_list(host.allowed)
    assert slot.got_cpus
    assert slot.numa_nodes == tuple(node.os_index for node in host.topology.numa_nodes)
    assert 0 < slot.busy_s + (slot.starting_s or 0.0) <= slot.alive_s
    assert slot.n_trials == 3
    page = render(summary, figures(summary))
    assert DRAWN.search(page)
    assert "kept from the user" in page
    assert host.versions["Python"] in page


def test_a_search_that_goes_on_with_workers_tells_of_theirs(tmp_path: Path) -> None:
    def objective(trial):
        return trial.suggest_float("x", 0, 1)

    first = search(objective, n_trials=2, progress=False)
    second = search(objective, n_trials=2, resume=first, run_dir=tmp_path / "r", progress=False, draw="none")
    assert len(second.trials) == 4
    assert [host.host for host in second.hosts] == [this_process().host]
    assert [slot.n_trials for slot in second.slots] == [2]


def test_telling_of_the_machine_costs_no_statement_of_its_own(make_ledger: Callable) -> None:
    ledger = make_ledger(1)
    runs, machine = RunTable(ledger.database), {"slots": [], "allowed": "0"}
    with statements(ledger.database) as sent:
        runs.register_agent("second", "run", 1, this_process(), machine=machine)
    assert len(sent) == 1
    assert runs.machines_of(["agent", "second"]) == {"second": machine}
    with statements(ledger.database) as sent:
        runs.beat("second", machine={**machine, "allowed": "1"})
    assert len(sent) == 1
    runs.beat("second")  # nothing new
    with statements(ledger.database) as sent:
        assert {agent.agent_id for agent in runs.agents_of("run")} == {"agent", "second"}
    assert not any("machine" in one for one in sent)  # every beat reads this
    assert runs.machines_of(["second"])["second"]["allowed"] == "1"
    with statements(ledger.database) as sent:
        LastLaunch.of(ledger.database, "run")
    assert len(sent) == 2


def test_an_agent_that_said_goodbye_tells_no_more(make_ledger: Callable) -> None:
    runs = RunTable(make_ledger(1).database)
    runs.end_agent("agent", {"slots": []})
    runs.beat("agent", machine={"allowed": "0"})
    assert runs.machines_of(["agent"]) == {}


def test_a_machine_that_was_told_at_the_end_as_by_an_earlier_version_is_known(make_ledger: Callable) -> None:
    database = make_ledger(1).database
    share = read_share(RunSpec("f", "s", n_trials=1), read_rank({}), {})
    machine = planned(share, 0, "elsewhere", {})
    slots = machine.pop("slots")
    RunTable(database).end_agent("agent", {"slots": slots, "machine": machine})
    launch = LastLaunch.of(database, "run")
    assert [host.allowed for host in launch.hosts()] == [share.allowance.pus]
    assert launch.slots(()) == tuple(slot_record(slot, None) for slot in slots)


def test_an_agent_has_news_twice_for_each_slot_at_most(tmp_path: Path) -> None:
    launch = launch_here(tmp_path)
    (slot,) = launch.share.slots
    worker = SlotWorker(slot, launch.spec.choices.binding(slot), tmp_path / "log")
    account = Account(launch, "here", [worker])
    assert account.news() is None
    for n_seen in (1, 2):
        worker.seen, worker.n_seen = {"cpus": "0", "pools": []}, n_seen
        news = account.news()
        assert news is not None
        assert [one["got_cpus"] for one in news["slots"]] == ["0"]
        assert account.news() is not None  # until it is in the database
        account.was_told()
        assert account.news() is None
    worker.n_seen = 3  # another worker, which sees the same
    assert account.news() is None


def test_what_is_told_of_the_plan_reads_as_the_slots_of_the_share(tmp_path: Path) -> None:
    launch = launch_here(tmp_path)
    told = planned(launch.share, 3, "here", os.environ)
    (record,) = (slot_record(data, "77") for data in told["slots"])
    (slot,) = launch.share.slots
    assert (record.rank, record.host, record.job, record.slot) == (3, "here", "77", 0)
    assert (record.cpus, record.numa_nodes) == (format_list(slot.pus), slot.numa_nodes)
    assert (record.threads, record.is_seen) == (slot.threads, False)


def test_the_versions_of_packages_that_are_not_installed_are_left_out() -> None:
    assert version_of("no-such-package") is None
    assert versions_at_work()["nano-hpo"] == version_of("nano-hpo")
    assert None not in versions_at_work().values()


def launch_here(folder: Path) -> Launch:
    """The plan of a run of one worker on this machine."""
    spec, rank = RunSpec("f", "s", n_trials=1), read_rank({})
    return Launch(spec, rank, read_share(spec, rank, {}), RunPaths(folder), "sqlite://", "run", False)


def wait_until(condition: Callable[[], bool], has_ended: Callable[[], int | None]) -> None:
    """Look again and again, as long as the run is there."""
    deadline = time.monotonic() + 240
    while not condition():
        assert has_ended() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """The statements that are sent in this block, but for those that begin a transaction."""
    sent: list[str] = []

    def note(connection, cursor, statement, parameters, context, executemany):
        if not statement.startswith("BEGIN"):
            sent.append(statement)

    sa.event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", note)
