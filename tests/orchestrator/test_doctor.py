"""``nano-hpo doctor`` says what is there, what it may cost and what to do, and changes nothing."""

from __future__ import annotations

import optuna
import pytest

from orchestrator.doctor import Verdict, check, machine, mysql, software, sqlite, storage
from orchestrator.relay.lend import lend_to_this_machine
from orchestrator.sql import network_fs
from orchestrator.sql.opening import open_database
from tests.orchestrator.test_foreign_servers import account, name_of


def by_topic(checks) -> dict[str, check.Check]:
    return {one.topic: one for one in checks}


def test_a_machine_and_its_software_are_looked_at_without_a_storage(cli):
    done = cli("doctor", "--json")
    assert done.code == 0, done.out
    found = {one["topic"]: one for one in done.json}
    assert "optuna" in found["packages"]["said"]
    assert "usable (PUs" in found["cores"]["said"]
    assert "mpi4py" in found
    assert {one["area"] for one in done.json} == {"software", "machine", "launchers", "environment"}
    assert {one["verdict"] for one in done.json} <= {"good", "mind", "none"}
    assert set(done.json[0]) == {"area", "topic", "verdict", "said", "step"}
    assert "storage" not in found
    assert list(cli.cwd.iterdir()) == [cli.cwd / "job.py"]


def test_a_server_in_order_has_nothing_to_mend_and_gets_no_tables(cli, mariadb):
    url = mariadb.create_database()
    done = cli("doctor", "--storage", url)
    assert done.code == 0, done.out
    lines = done.out.splitlines()
    assert any(line.startswith("✓ rights") and "all that is needed" in line for line in lines)
    assert any(line.startswith("✓ connections") and "workers more" in line for line in lines)
    assert any("none yet; the first run makes them" in line for line in lines)
    assert not [line for line in lines if line.startswith("✗")]
    assert not mariadb.execute(f"SHOW TABLES IN {name_of(url)}")


def test_a_server_that_refuses_us_is_exit_code_1_without_the_password(cli, mariadb):
    url = account(mariadb, mariadb.create_database(), "ALL", "s3cr3t").replace("s3cr3t", "wr0ng")
    done = cli("doctor", "--storage", url)
    assert done.code == 1
    assert "Access denied" in done.out
    assert "wr0ng" not in done.out + done.err


@pytest.mark.parametrize("has_tables", [False, True])
def test_rights_that_are_missing_matter_while_tables_are(mariadb, has_tables):
    url = mariadb.create_database()
    if has_tables:
        open_database(url).close()
    guest = account(mariadb, url, "SELECT, INSERT, UPDATE, DELETE")
    rights = by_topic(storage.storage_checks(guest))["rights"]
    assert "no CREATE, ALTER, INDEX, REFERENCES" in rights.said
    assert rights.verdict is (Verdict.GOOD if has_tables else Verdict.BAD)
    if not has_tables:
        assert rights.step is not None
        mariadb.execute(rights.step.partition("runs: ")[2])
        assert by_topic(storage.storage_checks(guest))["rights"].verdict is Verdict.GOOD


def test_a_reader_cannot_run(mariadb):
    url = mariadb.create_database()
    open_database(url).close()
    rights = by_topic(storage.storage_checks(account(mariadb, url, "SELECT")))["rights"]
    assert rights.verdict is Verdict.BAD
    assert "no INSERT, UPDATE, DELETE" in rights.said


def test_an_accounts_own_limit_of_connections_counts(mariadb):
    url = account(mariadb, mariadb.create_database(), "ALL")
    user = url.partition("//")[2].partition("@")[0]
    for limit, verdict, left in ((2, Verdict.BAD, 1), (20, Verdict.GOOD, 19)):
        mariadb.execute(f"GRANT USAGE ON *.* TO {user}@localhost WITH MAX_USER_CONNECTIONS {limit}")
        room = by_topic(storage.storage_checks(url))["connections"]
        assert f"1 of {limit} for this account: allows about {left} workers more" in room.said
        assert room.verdict is verdict


def test_connections_are_held_against_the_cores_of_this_machine(mariadb):
    url = mariadb.create_database()
    assert by_topic(storage.storage_checks(url, 4))["connections"].verdict is Verdict.GOOD
    room = by_topic(storage.storage_checks(url, 10_000))["connections"]
    assert room.verdict is Verdict.MIND
    assert "fewer than this machine's 10000 cores" in (room.step or "")


def test_the_character_set_is_named(mariadb):
    url = mariadb.create_database()
    assert by_topic(storage.storage_checks(url))["character set"].said == "utf8mb4, utf8mb4_bin by default"
    mariadb.execute(f"ALTER DATABASE {name_of(url)} CHARACTER SET latin1")
    said = by_topic(storage.storage_checks(url))["character set"].said
    assert said.startswith("latin1, latin1_swedish_ci by default; tables that nano-hpo makes")


def test_a_collation_that_takes_names_for_one_is_pointed_out(mariadb):
    url = mariadb.create_database()
    mariadb.execute(f"ALTER DATABASE {name_of(url)} COLLATE utf8mb4_general_ci")
    optuna.storages.RDBStorage(url).engine.dispose()  # plain Optuna makes tables by the database's default
    assert by_topic(storage.storage_checks(url))["names"].verdict is Verdict.MIND


def test_grants_are_read_with_their_wildcards_and_roles():
    grants = ["GRANT USAGE ON *.* TO `a`@`h`", r"GRANT SELECT, INSERT ON `my\_db%`.* TO `a`@`h`"]
    assert mysql.granted(grants, "my_db1") == ({"USAGE", "SELECT", "INSERT"}, False)
    assert mysql.granted(grants, "myxdb1") == ({"USAGE"}, False)
    everything, _ = mysql.granted(["GRANT ALL PRIVILEGES ON `d`.* TO `a`@`h`"], "d")
    assert {*mysql.RIGHTS} <= everything
    assert mysql.granted(["GRANT SELECT ON `d`.`t` TO `a`@`h`"], "d") == (set(), False)
    assert mysql.granted(["GRANT `admins` TO `a`@`h`"], "d") == (set(), True)


def test_a_file_is_looked_at_before_and_after_it_is_made(tmp_path, monkeypatch):
    path = tmp_path / "study.db"
    url = f"sqlite:///{path}"
    found = by_topic(storage.storage_checks(url))
    assert found["file system"].verdict is Verdict.GOOD
    assert not path.exists()
    open_database(url).close()
    assert "and ours" in by_topic(storage.storage_checks(url))["tables"].said
    monkeypatch.setattr(network_fs, "_read_mountinfo", lambda: f"1 0 0:1 / {tmp_path} rw - nfs4 s:/ rw\n")
    assert by_topic(sqlite.sqlite_checks(path))["file system"].verdict is Verdict.MIND


def test_a_folder_that_is_missing_or_closed_is_bad(tmp_path, monkeypatch):
    (missing,) = sqlite.sqlite_checks(tmp_path / "none" / "study.db")
    assert missing.verdict is Verdict.BAD
    monkeypatch.setattr("os.access", lambda path, how: False)  # root may write anything
    assert by_topic(sqlite.sqlite_checks(tmp_path / "study.db"))["rights"].verdict is Verdict.BAD


def test_what_is_missing_here_comes_with_the_next_step(monkeypatch):
    monkeypatch.setattr(software, "installed", lambda name: None)
    monkeypatch.setattr(software, "find_browser", lambda: None)
    found = by_topic(software.software_checks("mysql://h/d"))
    assert found["packages"].verdict is found["database driver"].verdict is Verdict.BAD
    assert found["PNG files"].verdict is Verdict.MIND
    assert "nano-hpo[mysql]" in (found["database driver"].step or "")


def test_a_database_that_is_lent_needs_the_driver_of_the_one_behind(storage_url, monkeypatch):
    open_database(storage_url).close()
    relay = lend_to_this_machine(storage_url)
    try:
        driver = by_topic(software.software_checks(relay.url))["database driver"]
        found = list(storage.storage_checks(relay.url))
        monkeypatch.setattr(software, "installed", lambda name: None)
        missing = by_topic(software.software_checks(relay.url))["database driver"]
    finally:
        relay.close()
    is_file = storage_url.startswith("sqlite")
    assert driver.verdict is Verdict.GOOD
    assert ("part of Python" in driver.said) is is_file
    assert missing.verdict is (Verdict.GOOD if is_file else Verdict.BAD)
    assert not [one for one in found if one.verdict is Verdict.BAD]
    assert "and ours" in by_topic(found)["tables"].said


def test_a_relay_that_is_gone_says_so_and_asks_for_no_driver(cli):
    done = cli("doctor", "--storage", f"relay://{cli.cwd}/relay.json", "--json")
    found = {one["topic"]: one for one in done.json}
    assert done.code == 1
    assert found["database driver"]["verdict"] == "mind"
    assert "Nobody lends a database" in found["storage"]["said"]


def test_ranks_are_named(monkeypatch):
    for name, value in {"RANK": "1", "SIZE": "4", "LOCAL_RANK": "1", "LOCAL_SIZE": "2"}.items():
        monkeypatch.setenv(f"OMPI_COMM_WORLD_{name}", value)
    here = machine.read_machine()
    assert by_topic(machine.machine_checks(here))["rank"].said == "1 of 4, by openmpi"
    monkeypatch.delenv("OMPI_COMM_WORLD_SIZE")
    assert by_topic(machine.machine_checks(here))["rank"].verdict is Verdict.BAD


def test_the_text_aligns_topics_and_puts_steps_below():
    found = [check.good("a", "fine"), check.bad("longer", "broken", "mend it"), check.none("b", "not here")]
    total = "1 problem: a run would not work; 0 things to mind."
    text = "✓ a       fine\n✗ longer  broken\n          → mend it\n- b       not here"
    assert check.render(found) == f"{text}\n\n{total}"
    areas = [*check.within("one", found[:1]), *check.within("two", found[2:])]
    assert check.render(areas) == "one\n✓ a  fine\n\ntwo\n- b  not here\n\nAll is well."
