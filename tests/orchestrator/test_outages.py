"""The database goes away in the middle of a run, for a moment or for good."""

from __future__ import annotations

import signal

import optuna
import psutil
import pytest

from tests.conftest import MariaDB
from tests.orchestrator.waiting import wait_until

REPORTS = """
import time
from pathlib import Path
def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    for step in range(1000):
        trial.report(x, step)
        Path(f"step-{step}").touch()
        if Path("enough").exists():
            break
        time.sleep(0.02)
    return x
"""


@pytest.fixture
def server():
    """A server of one's own, to be killed."""
    mine = MariaDB()
    mine.start()
    yield mine
    mine.remove()


@pytest.fixture
def reporting(cli):
    (cli.cwd / "reports.py").write_text(REPORTS)
    return cli


def steps(cli) -> int:
    return len(list(cli.cwd.glob("step-*")))


def test_a_trial_outlives_more_restarts_of_its_database_than_it_has_retries(reporting, server):
    url = server.create_database()
    words = ("run", "reports.py", "-n", 1, "--storage", url, "--study-name", "s", "--draw", "none", "--json")
    process = reporting.start(*words, "--max-retries", 0)
    wait_until(lambda: steps(reporting) > 2, process)
    for _ in range(3):
        server.kill()
        server.start()
        before = steps(reporting)
        wait_until(lambda before=before: steps(reporting) > before + 2, process)
    (reporting.cwd / "enough").touch()
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    (trial,) = optuna.load_study(study_name="s", storage=url).trials
    assert trial.state is optuna.trial.TrialState.COMPLETE
    assert sorted(trial.intermediate_values) == list(range(len(trial.intermediate_values)))


def test_stopping_at_once_does_not_wait_for_a_database_that_is_away(reporting, server):
    url = server.create_database()
    words = ("run", "reports.py", "-n", 4, "--storage", url, "--study-name", "s", "--draw", "none")
    process = reporting.start(*words)
    wait_until(lambda: steps(reporting) > 2, process)
    children = psutil.Process(process.pid).children(recursive=True)
    server.kill()
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "Again: stop at once" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)  # far less than the patience with a database
    assert process.returncode in (1, 130)
    assert "Traceback" not in err
    assert not [child for child in children if child.is_running() and child.status() != "zombie"]
    # The same command finishes what was left behind, although its owner could not give it back.
    server.start()
    (reporting.cwd / "enough").touch()
    done = reporting(*words, "--json")
    assert done.code == 0, done.err
    assert done.json["counts"] == {"COMPLETE": 4}


def test_a_trial_left_by_an_agent_that_said_goodbye_is_given_back(make_ledger):
    from orchestrator.host import this_process
    from orchestrator.run_handle import RunHandle

    ledger = make_ledger(1)
    _, trial_id = ledger.claim()
    run = RunHandle(ledger.database, "", "ledger", ledger.study_id, "run", "second", seed=1, joined=True)
    run.runs.register_agent("second", "run", 0, this_process())
    run.free_the_dead(3)
    assert run.attempts.counts("run") == {"running": 1}  # its agent lives: it is this very process
    run.runs.end_agent("agent", {"slots": []})
    run.free_the_dead(3)
    assert run.attempts.counts("run") == {"returned": 1}
    assert ledger.claim()[1] == trial_id
    first = next(agent for agent in run.runs.agents_of("run") if agent.agent_id == "agent")
    assert first.report == {"slots": []}
