"""Studies listed and deleted: what is there is said; what goes is gone with every row, and nothing else."""

from __future__ import annotations

import json
import math
import os
import pty
import subprocess
from contextlib import closing

import optuna
import pytest
import sqlalchemy as sa
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from orchestrator.sql import schema
from orchestrator.sql.opening import open_database
from orchestrator.storage import study_rows
from orchestrator.storage.deletion import delete_in_batches
from orchestrator.storage.overview import overview
from orchestrator.storage.study_storage import StudyStorage


def plain(url: str):
    return optuna.storages.RDBStorage(url)


def make_study(url: str, name: str, n_complete: int = 2, direction: str = "minimize"):
    """A study of plain Optuna with a trial in every state and a row in every table."""
    study = optuna.create_study(storage=plain(url), study_name=name, direction=direction)
    study.set_user_attr("a", 1)
    space = {"x": optuna.distributions.FloatDistribution(0, 9)}
    for number in range(n_complete):
        content = {"params": {"x": 1.0}, "distributions": space, "intermediate_values": {0: 1.0}}
        content |= {"user_attrs": {"a": 1}, "system_attrs": {"b": 2}}
        study.add_trial(create_trial(value=float(number), **content))
    for state in (TrialState.PRUNED, TrialState.FAIL):
        study.add_trial(create_trial(state=state))
    study.ask()
    study.enqueue_trial({"x": 3.0})
    return study


def rows_of(url: str) -> dict[str, int]:
    """Rows by table, of all tables that are there."""
    engine = sa.create_engine(url.replace("mariadb", "mysql"))
    with closing(engine.connect()) as c:
        names = [name for name in sa.inspect(c).get_table_names() if name not in CONSTANT]
        counts = {name: c.exec_driver_sql(f"SELECT COUNT(*) FROM {name}").scalar() for name in names}
    engine.dispose()
    return counts


CONSTANT = ("version_info", "alembic_version")


def test_studies_are_listed_with_their_trials_by_state_and_their_best(here, storage_url):
    make_study(storage_url, "down", n_complete=3)
    make_study(storage_url, "up", n_complete=3, direction="maximize")
    optuna.create_study(storage=plain(storage_url), study_name="two\nlines", directions=["minimize"] * 2)
    done = here("studies", "--storage", storage_url)
    assert done.code == 0
    titles, down, up, two = (line.split("  ") for line in done.out.splitlines())
    titles, down, up, two = ([cell.strip() for cell in row if cell] for row in (titles, down, up, two))
    assert " ".join(titles[:9]) == "study goal trials complete pruned failed running waiting best"
    assert down[:9] == ["down", "min", "7", "3", "1", "1", "1", "1", "0"]
    assert up[:9] == ["up", "max", "7", "3", "1", "1", "1", "1", "2"]
    assert two == ["two\\nlines", "min,min", *["0"] * 6, "-", "-", "-", "0"]


def test_infinite_values_count_for_the_best(here, storage_url):
    study = optuna.create_study(storage=plain(storage_url), study_name="s", direction="maximize")
    for value, said in ((-math.inf, "-inf"), (1.0, 1.0), (math.inf, "inf")):
        study.add_trial(create_trial(value=value))
        (listed,) = json.loads(here("studies", "--storage", storage_url, "--json").out)["studies"]
        assert listed["best_value"] == said


def test_the_json_of_studies_keeps_its_keys(cli, storage_url):
    words = ("run", "job.py:quadratic", "-n", 2, "--storage", storage_url, "--draw", "none", "-q")
    assert cli(*words).code == 0
    (study,) = cli("studies", "--storage", storage_url, "--json").json["studies"]
    activity = ["first_activity", "last_activity"]
    assert list(study) == ["name", "directions", "n_trials", "counts", "best_value", *activity, "runs"]
    assert study["counts"] == {"complete": 2, "pruned": 0, "failed": 0, "running": 0, "waiting": 0}
    assert study["first_activity"] <= study["last_activity"]
    (run,) = study["runs"]
    assert list(run) == ["run_id", "owner", "state", "at_work", "n_trials", "claimed"]
    assert (run["state"], run["at_work"], run["n_trials"], run["claimed"]) == ("finished", False, 2, 2)


def test_runs_that_did_not_finish_are_marked(here, make_ledger, storage_url):
    ledger = make_ledger(1)
    assert "1 (1 running)" in here("studies", "--storage", storage_url).out
    with ledger.database.engine.begin() as c:
        c.execute(sa.update(schema.agents).values(pid=2**22, pid_start_s=0.0))  # another process, long dead
    assert "1 (1 cut off)" in here("studies", "--storage", storage_url).out


def test_the_number_of_statements_does_not_grow_with_the_studies(storage_url):
    def statements() -> int:
        with closing(open_database(storage_url)) as database:
            seen: list[str] = []
            sa.event.listen(database.engine, "before_cursor_execute", lambda *args: seen.append(args[2]))
            database.read(lambda c: overview(c, keeps_runs=True))
            return len(seen)

    make_study(storage_url, "first")
    alone = statements()
    for number in range(5):
        make_study(storage_url, f"s{number}", n_complete=1)
    assert statements() == alone


def test_who_may_only_read_a_database_of_plain_optuna_can_list_its_studies(here, mariadb):
    url = mariadb.create_database()
    make_study(url, "s")
    name = sa.make_url(url).database
    mariadb.execute("CREATE OR REPLACE USER reader@localhost IDENTIFIED BY 's3cret'")
    mariadb.execute(f"GRANT SELECT ON {name}.* TO reader@localhost")
    reader = url.replace("root@", "reader:s3cret@")
    listed = here("studies", "--storage", reader)
    assert (listed.code, "s      min" in listed.out) == (0, True), listed.err
    assert "6 trials" in here("export", "--storage", reader, "-o", os.devnull).err
    for words in (("delete", "s", "--storage", reader, "--yes"), ("copy", url, reader, "--as", "t")):
        done = here(*words)
        assert (done.code, len(done.err.splitlines())) == (2, 1), done.err
        assert "s3cret" not in done.err
    assert not any(table.startswith("nano_") for table in rows_of(url))


def test_a_database_that_is_not_there_is_an_error_and_is_not_made(here, tmp_path):
    url = f"sqlite:///{tmp_path / 'no such.db'}"
    for words in (("studies",), ("delete", "s", "--yes"), ("export",)):
        done = here(*words, "--storage", url)
        assert (done.code, done.err) == (2, f"nano-hpo: There is no file {tmp_path / 'no such.db'}.\n")
    assert here("copy", url, url).code == 2
    assert here("copy", url, url, "--all").code == 2
    assert list(tmp_path.iterdir()) == []


def test_an_empty_database_holds_no_study(here, mariadb):
    url = mariadb.create_database()
    done = here("studies", "--storage", url)
    assert (done.code, done.out) == (0, "")
    assert "holds no study" in done.err
    assert here("studies", "--storage", url, "--json").out.count("[]") == 1
    assert rows_of(url) == {}


def test_names_alone_go_into_a_pipe_that_closes_early(cli, tmp_path):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    for name in ("b", "a"):
        optuna.create_study(storage=plain(url), study_name=name)
    line = f"{' '.join(map(repr, cli.argv('studies', '--storage', url, '-q')))} | head -n 1"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=240)
    assert (done.stdout, done.stderr) == ("b\n", "")


def test_a_deleted_study_leaves_no_row_and_takes_no_other(cli, storage_url):
    words = ("run", "job.py:quadratic", "-n", 2, "--storage", storage_url, "--draw", "none", "-q")
    assert cli(*words, "--study-name", "kept").code == 0
    before = rows_of(storage_url)
    assert cli(*words, "--study-name", "gone").code == 0
    assert rows_of(storage_url)["nano_attempts"] == 4
    done = cli("delete", "gone", "--storage", storage_url, "--yes")
    assert (done.code, done.out) == (0, "Study 'gone' is deleted, with 2 trials.\n"), done.err
    assert rows_of(storage_url) == before


def test_a_study_of_plain_optuna_is_deleted_without_tables_of_ours(here, storage_url):
    make_study(storage_url, "s")
    assert here("delete", "s", "--storage", storage_url, "--yes").code == 0
    assert set(rows_of(storage_url).values()) == {0}
    assert "nano_runs" not in rows_of(storage_url)


def test_what_an_interruption_leaves_is_a_shorter_study_that_can_be_deleted(storage_url, monkeypatch, here):
    monkeypatch.setattr(study_rows, "BATCH", 4)
    study = make_study(storage_url, "s", n_complete=10)

    def interrupt(n: int) -> None:
        raise KeyboardInterrupt

    with closing(open_database(storage_url)) as database, pytest.raises(KeyboardInterrupt):
        delete_in_batches(database, study._study_id, interrupt)
    left = optuna.load_study(storage=plain(storage_url), study_name="s").trials
    assert [trial.number for trial in left] == list(range(10))
    assert all(trial.params == {"x": 1.0} for trial in left)
    assert here("delete", "s", "--storage", storage_url, "--yes").code == 0
    assert set(rows_of(storage_url).values()) == {0}


def test_deleting_by_our_storage_deletes_every_row_too(make_ledger, storage_url):
    ledger = make_ledger(2)
    ledger.claim()
    StudyStorage(ledger.database).delete_study(ledger.study_id)
    assert set(rows_of(storage_url).values()) == {0}


def test_a_study_that_a_run_works_on_is_deleted_by_force_alone(here, make_ledger, storage_url):
    make_ledger(1).claim()
    done = here("delete", "ledger", "--storage", storage_url, "--yes")
    assert done.code == 2
    assert done.err == "nano-hpo: Run run is at work on study 'ledger'; stop it first, or use --force.\n"
    assert rows_of(storage_url)["trials"] == 1
    assert here("delete", "ledger", "--storage", storage_url, "--yes", "--force").code == 0
    assert set(rows_of(storage_url).values()) == {0}


def test_a_missing_study_is_named_with_those_that_are_there(here, storage_url):
    make_study(storage_url, "s")
    done = here("delete", "t", "--storage", storage_url, "--yes")
    assert (done.code, done.err) == (2, "nano-hpo: There is no study 't'; the storage holds s.\n")


def test_nothing_is_deleted_where_nobody_can_be_asked(here, storage_url):
    make_study(storage_url, "s")
    done = here("delete", "s", "--storage", storage_url)
    assert (done.code, done.err.count("--yes")) == (2, 1)
    assert rows_of(storage_url)["studies"] == 1


@pytest.mark.parametrize(("answer", "code", "n_left"), [("y", 0, 0), ("n", 1, 1), ("", 1, 1)])
def test_a_person_is_asked_before_a_study_is_deleted(cli, tmp_path, answer, code, n_left):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    make_study(url, "s")
    keyboard, terminal = pty.openpty()
    words = cli.argv("delete", "s", "--storage", url)
    process = subprocess.Popen(words, stdin=terminal, stdout=terminal, stderr=terminal, close_fds=True)
    os.close(terminal)
    os.write(keyboard, f"{answer}\n".encode())
    shown = b""
    while True:
        try:
            piece = os.read(keyboard, 4096)
        except OSError:  # EIO: nobody has the terminal any more
            break
        shown += piece
        if not piece:
            break
    os.close(keyboard)
    assert process.wait(240) == code, shown
    assert b"Delete study 's' with 6 trials (1 running) and 0 runs from sqlite:///" in shown
    assert rows_of(url)["studies"] == n_left


def test_a_study_does_not_inherit_the_runs_of_one_that_plain_optuna_deleted(make_ledger, storage_url):
    ledger = make_ledger(2)
    ledger.claim()
    optuna.delete_study(storage=plain(storage_url), study_name="ledger")
    assert rows_of(storage_url)["nano_runs"] == 1
    optuna.create_study(storage=StudyStorage(ledger.database), study_name="new")
    rows = rows_of(storage_url)
    assert (rows["nano_runs"], rows["nano_agents"], rows["nano_attempts"]) == (0, 0, 0)


@pytest.mark.parametrize("storage_url", ["mariadb"], indirect=True)  # SQLite lets writers in one by one
def test_forgetting_a_deleted_study_spares_a_run_that_takes_its_runs_id_meanwhile(make_ledger, storage_url):
    ledger = make_ledger(2)
    optuna.delete_study(storage=plain(storage_url), study_name="ledger")
    made = []

    def create_slowly(c: sa.Connection) -> None:
        study_rows.study_id_of(c, "slow")  # here this transaction takes its picture
        if not made:
            made.append(make_ledger(2))
        study_rows.insert_study(c, "slow", [StudyDirection.MINIMIZE])

    ledger.database.write(create_slowly)
    rows = rows_of(storage_url)
    assert (rows["studies"], rows["nano_runs"], rows["nano_agents"]) == (2, 1, 1)
