"""Nothing is lost, nothing is there twice: a server killed again and again, a stranger on the same study."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time

import optuna
import pytest
from optuna.trial import TrialState

from tests.conftest import MariaDB
from tests.orchestrator.waiting import wait_until

STEADY = """
import time

def objective(trial):
    x = trial.suggest_float("x", -5, 5)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    trial.report(x, 0)
    trial.set_user_attr("times", 1)
    time.sleep(0.02)
    trial.report(x * x, 1)
    return x * x
"""

PLAIN = """
import sys, time
import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)

def objective(trial):
    x = trial.suggest_float("x", -5, 5)
    trial.suggest_categorical("kind", ["a", "b"])
    time.sleep(0.02)
    trial.report(x, 0)
    trial.set_user_attr("plain", True)
    return x * x

optuna.load_study(study_name="s", storage=sys.argv[1]).optimize(objective, n_trials=int(sys.argv[2]))
"""


@pytest.fixture
def server():
    """A server of one's own, to be killed."""
    mine = MariaDB()
    mine.start()
    yield mine
    mine.remove()


def finished_trials(server: MariaDB, database: str) -> int:
    return int(server.execute(f"SELECT COUNT(*) FROM {database}.trials WHERE state = 'COMPLETE'")[0][0])


def cut_connections(server: MariaDB, rng: random.Random, n: int) -> int:
    """Kill up to so many connections but our own; how many there were."""
    ids = [row[0] for row in server.execute("SHOW PROCESSLIST") if row[4] != "Daemon"]
    own = max(ids)
    chosen = rng.sample([one for one in ids if one != own], k=min(n, len(ids) - 1))
    for one in chosen:
        try:
            server.execute(f"KILL {one}")
        except Exception as error:  # it has gone by itself
            if "Unknown thread" not in str(error):
                raise
    return len(chosen)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_2000_trials_of_8_workers_survive_10_killed_servers_and_100_killed_connections(cli, server):
    url = server.create_database()
    database = url.partition("?")[0].rpartition("/")[2]
    (cli.cwd / "steady.py").write_text(STEADY)
    words = (
        "run",
        "steady.py",
        "-n",
        2000,
        "-p",
        8,
        "--oversubscribe",
        "--storage",
        url,
        "--study-name",
        "s",
    )
    process = cli.start(*words, "--draw", "none", "--json", "--quiet", "--max-retries", 0)
    rng, kills, cuts = random.Random(1), 0, 0
    while finished_or_none(server, database) is None:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    while process.poll() is None and (kills < 10 or cuts < 100):
        done = finished_trials(server, database)
        if done > 180 * (kills + 1) and kills < 10:
            server.kill()
            server.start()
            kills += 1
        if cuts < 100 and done > 18 * cuts:
            cuts += cut_connections(server, rng, 2)
        time.sleep(0.02)
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    assert kills == 10
    assert cuts >= 100
    summary = json.loads(out)
    assert summary["counts"] == {"COMPLETE": 2000}
    assert sum(slot["n_lost"] for slot in summary["slots"]) == 0
    trials = optuna.load_study(study_name="s", storage=url).trials
    assert [trial.number for trial in trials] == list(range(2000))
    for trial in trials:
        assert trial.value == trial.params["x"] * trial.params["x"]
        assert trial.intermediate_values == {0: trial.params["x"], 1: trial.value}
        assert trial.user_attrs == {"times": 1}
    (attempts,) = server.execute(f"SELECT COUNT(*), COUNT(DISTINCT trial_id) FROM {database}.nano_attempts")
    assert attempts == (2000, 2000)


def finished_or_none(server: MariaDB, database: str) -> int | None:
    """None before the tables are there."""
    tables = server.execute(
        f"SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '{database}'"
    )
    return finished_trials(server, database) if tables[0][0] > 12 else None


def test_a_run_of_ours_and_one_of_plain_optuna_share_a_study_and_all_trials_of_both_are_there(
    cli, storage_url
):
    (cli.cwd / "steady.py").write_text(STEADY)
    optuna.create_study(study_name="s", storage=storage_url)
    strange = [sys.executable, "-c", PLAIN, storage_url, "60"]
    stranger = subprocess.Popen(strange, cwd=cli.cwd, stderr=subprocess.PIPE, text=True)
    ours = cli(
        *("run", "steady.py", "-n", 60, "-p", 2, "--oversubscribe", "--resume", "--json", "--draw", "none"),
        *("--storage", storage_url, "--study-name", "s"),
    )
    _, said = stranger.communicate(timeout=240)
    assert (ours.code, stranger.returncode) == (0, 0), ours.err + said
    trials = optuna.load_study(study_name="s", storage=storage_url).trials
    assert [trial.number for trial in trials] == list(range(120))
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    plain = [trial for trial in trials if "plain" in trial.user_attrs]
    assert len(plain) == 60
    for trial in trials:
        assert trial.value == trial.params["x"] * trial.params["x"]
        assert len(trial.intermediate_values) == (1 if trial in plain else 2)


@pytest.mark.parametrize("delete", ["plain", "ours"])
def test_a_study_that_is_deleted_while_its_run_works_ends_the_run_in_one_line(cli, storage_url, delete):
    study = ("--storage", storage_url, "--study-name", "s")
    process = cli.start("run", "job.py:held", "-n", 3, *study, "--draw", "none")
    wait_until((cli.cwd / "began-0").exists, process)
    if delete == "plain":
        optuna.delete_study(study_name="s", storage=storage_url)
    else:
        assert cli("delete", "s", "--storage", storage_url, "--yes", "--force").code == 0
    (cli.cwd / "go").touch()
    _, err = process.communicate(timeout=240)
    assert process.returncode == 1
    assert "was deleted" in err.splitlines()[-1]
    assert "Traceback" not in err


REPORTS = """
import time
from pathlib import Path

def objective(trial):
    Path("began").touch()
    for step in range(6):
        time.sleep(0.5)
        trial.report(float(step), step)
    return 0.0
"""


def test_what_a_database_hangs_is_not_the_time_of_a_trial(cli, server):
    (cli.cwd / "reports.py").write_text(REPORTS)
    words = ("run", "reports.py", "-n", 2, "-p", 2, "--oversubscribe", "--trial-timeout", 6)
    process = cli.start(*words, "--storage", server.create_database(), "--study-name", "s", "--draw", "none")
    wait_until((cli.cwd / "began").exists, process)
    server._process.send_signal(signal.SIGSTOP)
    try:
        time.sleep(12)
    finally:
        server._process.send_signal(signal.SIGCONT)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert "timed out" not in err
    assert "2/2 finished, 0 running" in err
