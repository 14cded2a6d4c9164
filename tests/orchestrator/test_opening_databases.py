"""Opening a database: many at once, and what people should know about theirs before a parameter is lost."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import optuna
import pytest
import sqlalchemy as sa

from orchestrator import open_storage
from tests.orchestrator.test_foreign_servers import name_of

OPEN_AT_THE_GATE = """
import sys, time
from pathlib import Path
from orchestrator.sql.opening import open_database
gate, here, url = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
here.touch()
while not gate.exists():
    time.sleep(0.001)
open_database(url)
"""


def test_processes_that_open_a_new_database_at_once_all_succeed(storage_url, tmp_path):
    gate = tmp_path / "gate"
    there = [tmp_path / f"here-{index}" for index in range(4)]
    processes = [
        subprocess.Popen([sys.executable, "-c", OPEN_AT_THE_GATE, gate, here, storage_url]) for here in there
    ]
    while not all(here.exists() for here in there):
        assert all(process.poll() is None for process in processes)
        time.sleep(0.01)
    gate.touch()
    assert [process.wait(240) for process in processes] == [0, 0, 0, 0]


def test_a_database_that_takes_two_names_for_one_is_pointed_out(cli, mariadb):
    url = mariadb.create_database()
    mariadb.execute(f"ALTER DATABASE {name_of(url)} COLLATE utf8mb4_general_ci")
    optuna.storages.RDBStorage(url).engine.dispose()  # plain Optuna makes tables by the database's default
    done = cli("run", "job.py:empty", "-n", 1, "--storage", url, "--draw", "none")
    assert done.code == 0
    assert "compares names by utf8mb4_general_ci" in done.err
    assert "COLLATE utf8mb4_bin" in done.err


def test_tables_of_ours_hold_any_name_whatever_the_databases_default_is(cli, mariadb):
    url = mariadb.create_database()
    mariadb.execute(f"ALTER DATABASE {name_of(url)} CHARACTER SET latin1")
    (cli.cwd / "names.py").write_text(
        "def objective(trial):\n"
        "    names = ('P', 'p', 'units\u2581choice', '\u5b66')\n"
        "    return sum(trial.suggest_float(name, 0, 1) for name in names)\n"
    )
    done = cli("run", "names.py", "-n", 2, "--storage", url, "--draw", "none")
    assert (done.code, "Warning" in done.err) == (0, False), done.err
    trials = optuna.load_study(study_name="names", storage=open_storage(url)).trials
    assert [sorted(trial.params) for trial in trials] == [["P", "p", "units\u2581choice", "\u5b66"]] * 2


def test_nothing_is_said_of_a_database_that_keeps_names_apart(cli, storage_url):
    done = cli("run", "job.py:empty", "-n", 1, "--storage", storage_url, "--draw", "none")
    assert (done.code, "Warning" in done.err) == (0, False), done.err


def test_a_port_beside_localhost_is_explained(cli):
    done = cli(
        "run", "job.py:empty", "-n", 1, "--storage", "mysql://root@localhost:1/none", "--study-name", "s"
    )
    assert done.code == 2
    assert "write 127.0.0.1" in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("verb", ["report", "run"])
def test_tables_of_an_earlier_version_get_the_columns_that_came_since(cli, storage_url, verb):
    place = ("--storage", storage_url, "--study-name", "s", "--draw", "none")
    assert cli("run", "job.py:every_third_fails", "-n", 4, *place).code == 0
    engine = sa.create_engine(storage_url)
    with engine.begin() as connection:
        for table, column in (("nano_runs", "mark"), ("nano_attempts", "detail"), ("nano_attempts", "cpu_s")):
            connection.exec_driver_sql(f"ALTER TABLE {table} DROP COLUMN {column}")
    engine.dispose()
    more = ("job.py:empty", "-n", 2, "--resume") if verb == "run" else ()
    done = cli(verb, *more, *place, "--json")
    assert (done.code, done.json["n_trials"]) == (0, 6 if verb == "run" else 4), done.err
    assert cli("trials", "--failed", "--json", *place[:4]).json[0]["detail"] == ""


def test_the_version_of_optunas_tables_that_is_known_without_optuna_is_the_one_that_it_makes():
    from optuna.storages import RDBStorage

    from orchestrator.sql.tables import SCHEMA

    assert RDBStorage("sqlite://").get_head_version() == SCHEMA


def test_tables_of_another_version_of_optuna_are_refused_by_it(cli, tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    cli("run", "job.py:empty", "-n", 1, "--storage", url, "--draw", "none", "-q")
    with closing(sqlite3.connect(tmp_path / "study.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v2.6.0.a'")
        connection.commit()
    done = cli("status", "--storage", url)
    assert (done.code, done.out) == (2, "")
    assert "optuna storage upgrade" in done.err
