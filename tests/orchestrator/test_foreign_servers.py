"""Somebody else's server: option files, accounts with few rights, and a full house."""

from __future__ import annotations

import time

import optuna
import pytest

from orchestrator.errors import StorageError
from orchestrator.sql.asking import study_names
from orchestrator.sql.opening import open_database
from orchestrator.storage_url import checked
from tests.conftest import MariaDB

WORDS = (
    "run",
    "job.py:quadratic",
    "-n",
    4,
    "-p",
    2,
    "--oversubscribe",
    "--study-name",
    "s",
    "--draw",
    "none",
)


def name_of(url: str) -> str:
    return url.partition("localhost/")[2].partition("?")[0]


def account(mariadb: MariaDB, url: str, rights: str, password: str = "") -> str:
    """A new account with some rights in one database; the URL as that account."""
    user = f"u_{name_of(url)[2:]}_{rights[:3].lower()}"
    mariadb.execute(f"CREATE USER {user}@localhost IDENTIFIED BY '{password}'")
    mariadb.execute(f"GRANT {rights} ON {name_of(url)}.* TO {user}@localhost")
    return url.replace("root@", f"{user}:{password}@" if password else f"{user}@")


def option_file(tmp_path, mariadb: MariaDB, user: str, password: str, group: str = "client"):
    file = tmp_path / "my.cnf"
    file.write_text(f"[{group}]\nuser={user}\npassword='{password}'\nsocket={mariadb.socket}\n")
    file.chmod(0o600)
    return file


@pytest.mark.parametrize("driver", ["mysql", "mysql+pymysql", "mariadb"])
def test_a_password_may_stand_in_an_option_file(mariadb, tmp_path, monkeypatch, driver):
    url = mariadb.create_database()
    user = account(mariadb, url, "ALL", "s3c#r3t").partition("//")[2].partition(":")[0]
    option_file(tmp_path, mariadb, user, "s3c#r3t")
    monkeypatch.setenv("HOME", str(tmp_path))
    chosen = checked(f"{driver}://localhost/{name_of(url)}?read_default_file=~/my.cnf")
    assert f"read_default_file={tmp_path}/my.cnf" in chosen
    open_database(chosen).close()
    assert study_names(chosen) == []


def test_an_option_file_may_have_a_group_of_its_own(mariadb, tmp_path):
    url = mariadb.create_database()
    user = account(mariadb, url, "ALL", "s3cr3t").partition("//")[2].partition(":")[0]
    file = option_file(tmp_path, mariadb, user, "s3cr3t", group="hpo")
    base = f"mysql://localhost/{name_of(url)}?read_default_file={file}"
    assert study_names(base + "&read_default_group=hpo") == []
    with pytest.raises(StorageError):
        study_names(base)


def test_a_run_with_workers_takes_its_password_from_a_relative_option_file(cli, mariadb):
    url = mariadb.create_database()
    user = account(mariadb, url, "ALL", "s3cr3t").partition("//")[2].partition(":")[0]
    option_file(cli.cwd, mariadb, user, "s3cr3t").chmod(0o644)
    storage = f"mysql://localhost/{name_of(url)}?read_default_file=my.cnf"
    done = cli(*WORDS, "--storage", storage, "--run-dir", "r", "--json")
    assert done.code == 0, done.err
    assert done.json["counts"] == {"COMPLETE": 4}
    assert f"chmod 600 {cli.cwd / 'my.cnf'}" in done.err
    written = [file.read_text(errors="replace") for file in (cli.cwd / "r").rglob("*") if file.is_file()]
    assert not [text for text in (*written, done.out, done.err) if "s3cr3t" in text]


@pytest.mark.parametrize("mode", [None, 0o000])
def test_an_option_file_that_cannot_be_read_is_one_line(cli, mode, monkeypatch):
    if mode is not None:
        (cli.cwd / "my.cnf").touch(mode)
        monkeypatch.setattr("os.access", lambda path, how: False)  # root may read anything
        with pytest.raises(StorageError, match="may not be read by you"):
            checked(f"mysql://h/d?read_default_file={cli.cwd / 'my.cnf'}")
        return
    done = cli(*WORDS, "--storage", "mysql://h/d?read_default_file=my.cnf")
    assert done.code == 2
    assert (
        done.err
        == f"nano-hpo: read_default_file of the storage: {cli.cwd / 'my.cnf'} is not there; see the path.\n"
    )


def test_an_account_that_may_not_create_tables_works_with_a_colleagues(cli, mariadb):
    url = mariadb.create_database()
    open_database(url).close()
    guest = account(mariadb, url, "SELECT, INSERT, UPDATE, DELETE")
    done = cli(*WORDS, "--storage", guest, "--json")
    assert done.code == 0, done.err
    assert sum(done.json["counts"].values()) == 4
    assert cli(*WORDS, "--storage", guest, "--resume", "--json").code == 0


@pytest.mark.parametrize("made_by", ["nobody", "plain Optuna"])
def test_missing_tables_that_may_not_be_created_are_one_line_with_the_grant(cli, mariadb, made_by):
    url = mariadb.create_database()
    if made_by == "plain Optuna":
        optuna.create_study(storage=url)
    guest = account(mariadb, url, "SELECT, INSERT, UPDATE, DELETE", "s3cr3t")
    user = guest.partition("//")[2].partition(":")[0]
    done = cli(*WORDS, "--storage", guest)
    assert done.code == 2
    assert len(done.err.splitlines()) == 1, done.err
    assert "nano_attempts" in done.err
    assert ("trial_params" in done.err) is (made_by == "nobody")
    assert "s3cr3t" not in done.err
    grant = done.err.partition("may run: ")[2].partition(";")[0]
    assert grant.endswith(f"ON `{name_of(url)}`.* TO '{user}'@'localhost'")
    mariadb.execute(grant)  # what the administrator is told to do is enough
    assert cli(*WORDS, "--storage", guest).code == 0


def test_a_wrong_password_and_a_missing_database_say_what_to_look_at(mariadb):
    url = mariadb.create_database()
    known = account(mariadb, url, "ALL", "s3cr3t")
    with pytest.raises(StorageError, match=r"Access denied .*See user, password and option file"):
        study_names(known.replace("s3cr3t", "other"))
    with pytest.raises(StorageError, match=r"Unknown database .*utf8mb4_bin"):
        study_names(mariadb.url("not_there"))


def test_workers_wait_for_a_place_on_a_server_that_is_full(cli, mariadb):
    """The account may have two connections: the agent's and that of one worker; the other worker waits."""
    url = mariadb.create_database()
    open_database(url).close()
    guest = account(mariadb, url, "ALL")
    user = guest.partition("//")[2].partition("@")[0]
    mariadb.execute(f"GRANT USAGE ON *.* TO {user}@localhost WITH MAX_USER_CONNECTIONS 2")
    done = cli(*WORDS, "--storage", guest, "--json")
    assert done.code == 0, done.err
    assert sum(done.json["counts"].values()) == 4


def test_a_run_is_only_as_patient_as_it_was_told(cli):
    server = MariaDB()
    try:
        server.start()
        words = ("-n", 1, "--storage", server.create_database(), "--study-name", "s", "--draw", "none")
        process = cli.start("run", "job.py:held", *words, "--storage-patience", 1)
        while not (cli.cwd / "began-0").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        server.kill()
        (cli.cwd / "go").touch()
        _, err = process.communicate(timeout=120)  # the patience would be 300 s
        assert process.returncode == 1
        assert "nano-hpo: The database was lost: " in err
        server.start()
        assert cli("run", "job.py:held", *words).code == 0
    finally:
        server.remove()


def test_patience_is_a_setting_of_each_launch(cli):
    done = cli(*WORDS, "--storage-patience", "-1")
    assert done.code == 2
    assert "storage patience is -1.0 s; it must be 0 or more" in done.err
