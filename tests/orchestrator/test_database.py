"""One connection to a real server: closed when idle, opened again, patient as long as it was told to be."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import threading
import time
from contextlib import contextmanager

import optuna
import pytest
import sqlalchemy as sa
from sqlalchemy import exc

from orchestrator.sampling.flat_pruners import FlatMedianPruner
from orchestrator.sampling.thinned_study import ThinnedHistory
from orchestrator.sql import database as database_module
from orchestrator.sql import patience as patience_module
from orchestrator.sql.database import Database
from orchestrator.sql.driver import BUSY_SQLITE_S
from orchestrator.sql.failures import is_passing
from orchestrator.sql.idle import IdleCloser
from orchestrator.sql.opening import open_database, rejoin_database
from orchestrator.sql.patience import Patience
from orchestrator.sql.turns import Turn
from orchestrator.sql.waiting import Pace
from orchestrator.storage.study_storage import open_storage
from tests.conftest import MariaDB
from tests.orchestrator.waiting import wait_until


@pytest.fixture
def url(mariadb: MariaDB) -> str:
    return mariadb.create_database()


@pytest.fixture
def server():
    """A server of one's own, to be stopped."""
    mine = MariaDB()
    mine.start()
    yield mine
    mine.remove()


def one(connection: sa.Connection) -> int:
    return int(connection.execute(sa.text("SELECT 1")).scalar_one())


def connections(mariadb: MariaDB, url: str) -> list[int]:
    """The numbers of the connections that are in a database now."""
    name = url.partition("localhost/")[2].partition("?")[0]
    return [row[0] for row in mariadb.execute("SHOW PROCESSLIST") if row[3] == name]


def forked(action) -> int | None:
    """How a child that does something ends."""
    child = multiprocessing.get_context("fork").Process(target=action)
    child.start()
    child.join(60)
    code = child.exitcode
    child.kill()  # if it still waits for its turn
    child.join()
    return code


def test_a_process_has_one_connection_whatever_its_threads_do(mariadb, url):
    database = open_database(url)
    assert len(connections(mariadb, url)) == 1
    seen: set[int] = set()

    def work() -> None:
        for _ in range(20):
            database.write(one)
            seen.update(connections(mariadb, url))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 1
    database.close()
    wait_until(lambda: not connections(mariadb, url))


def test_a_connection_that_nobody_uses_is_closed_and_the_next_call_opens_one(mariadb, url, monkeypatch):
    monkeypatch.setattr(database_module, "IDLE_S", 0.05)
    database = open_database(url)
    for _ in range(2):
        assert database.read(one) == 1
        wait_until(lambda: not connections(mariadb, url))
    database.close()


def test_a_long_transaction_is_not_idle(mariadb, url, monkeypatch):
    monkeypatch.setattr(database_module, "IDLE_S", 0.05)
    database = open_database(url)
    slow = sa.text("SELECT CONNECTION_ID() + 0 * SLEEP(0.3)")
    before = database.read(lambda c: (c.execute(slow).scalar(), c.execute(slow).scalar()))
    assert before[0] == before[1]
    database.close()


def test_nothing_is_closed_while_its_user_has_the_turn():
    turn, closed = threading.RLock(), threading.Event()
    closer = IdleCloser(0.0, turn, closed.set)
    with turn:
        closer.used()
        assert not closed.wait(0.2)
    assert closed.wait(60)


def test_closing_what_is_idle_disturbs_nobody(url, monkeypatch):
    monkeypatch.setattr(database_module, "IDLE_S", 0.0)
    database = open_database(url, Patience(0.0))
    threads = [threading.Thread(target=lambda: [database.write(one) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert database.read(one) == 1
    database.close()


def test_a_lock_that_another_thread_held_is_free_in_a_child():
    turn, held, done = Turn(), threading.Event(), threading.Event()

    def hold() -> None:
        with turn:
            held.set()
            assert done.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(60)
    child = forked(turn.__enter__)
    done.set()
    holder.join()
    assert child == 0
    with turn, turn:  # who forks keeps what he holds
        assert forked(lambda: turn.__exit__(None, None, None)) == 0


def test_all_that_threads_share_can_be_used_in_a_child(tmp_path):
    storage = open_storage(f"sqlite:///{tmp_path / 'study.db'}")
    study = optuna.create_study(storage=storage)
    pruner = FlatMedianPruner(n_startup_trials=0)
    trial = study.ask()
    trial.report(1.0, 0)
    history = ThinnedHistory(study.directions, storage.history(study._study_id), 10)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with storage._lock, pruner._kept.turn, history._turn:
            held.set()
            assert done.wait(60)

    def use() -> None:
        pruner.prune(study, storage.get_trial(trial._trial_id))
        history.shown_to(1)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(60)
    child = forked(use)
    done.set()
    holder.join()
    assert child == 0


def test_a_child_works_although_another_thread_of_its_parent_had_the_turn(url):
    database = open_database(url)
    held, done = threading.Event(), threading.Event()

    def hold(connection: sa.Connection) -> None:
        held.set()
        assert done.wait(60)

    holder = threading.Thread(target=lambda: database.read(hold))
    holder.start()
    assert held.wait(60)
    child = forked(lambda: database.read(one))
    closing = forked(database.close)
    done.set()
    holder.join()
    assert child == closing == 0
    assert database.read(one) == 1
    database.close()


def test_a_killed_connection_is_replaced(mariadb, url):
    database = open_database(url)
    for _ in range(3):
        (number,) = connections(mariadb, url)
        mariadb.execute(f"KILL {number}")
        assert database.write(one) == 1
    database.close()


def test_an_outage_is_logged_once_and_so_is_its_end(server, caplog):
    database = open_database(server.create_database())
    server.kill()
    with caplog.at_level(logging.WARNING, "nano_hpo"):
        results = []
        threads = [threading.Thread(target=lambda: results.append(database.write(one))) for _ in range(3)]
        for thread in threads:
            thread.start()
        wait_until(lambda: caplog.records)
        time.sleep(1.0)  # so long that it would be said again
        server.start()
        for thread in threads:
            thread.join()
        database.write(one)
    assert results == [1, 1, 1]
    gone, back = [record.getMessage() for record in caplog.records]
    assert gone.startswith("The database is in the way (")
    assert back.startswith("The database answers again after ")
    database.close()


def test_no_patience_is_no_second_try(server):
    database = open_database(server.create_database(), Patience(0.0))
    server.kill()
    tries = []

    def work(connection: sa.Connection) -> int:
        tries.append(1)
        return one(connection)

    with pytest.raises(exc.DBAPIError):
        database.write(work)
    assert len(tries) <= 1
    server.start()
    assert database.write(one) == 1
    database.close()


@pytest.mark.parametrize("driver", ["mysql", "mysql+pymysql"])
def test_haste_does_not_wait_for_a_server_that_stands_still(server, driver):
    database = open_database(server.create_database().replace("mysql", driver, 1))
    too_late = threading.Timer(30.0, lambda: server._process.send_signal(signal.SIGCONT))
    server._process.send_signal(signal.SIGSTOP)
    too_late.start()
    for _ in range(2):  # on the connection that is there; on one that it tries to open
        with database.hasty(), pytest.raises(exc.DBAPIError) as raised:
            database.read(one)
        assert is_passing(raised.value)
    assert too_late.is_alive()
    too_late.cancel()
    server._process.send_signal(signal.SIGCONT)
    assert database.write(one) == 1
    database.close()


@contextmanager
def held(database: Database, lock: sa.TextClause):
    """Somebody else has a lock, until this is left, or else long after a hasty caller should have gone."""
    has_it, gone = threading.Event(), threading.Event()

    def hold(connection: sa.Connection) -> None:
        connection.execute(lock)
        has_it.set()
        gone.wait(30)

    holder = threading.Thread(target=lambda: database.write(hold))
    holder.start()
    assert has_it.wait(60)
    try:
        yield
    finally:
        gone.set()
        holder.join()
        database.close()


def test_haste_does_not_wait_for_a_row_that_others_have(url):
    database, other = open_database(url), open_database(url)
    other.write(lambda c: c.execute(sa.text("CREATE TABLE r (i INT PRIMARY KEY) ENGINE=InnoDB")))
    other.write(lambda c: c.execute(sa.text("INSERT INTO r VALUES (1)")))
    lock = sa.text("SELECT i FROM r WHERE i = 1 FOR UPDATE")
    with held(other, lock), database.hasty(), pytest.raises(exc.DBAPIError, match="Lock wait timeout"):
        database.write(lambda c: c.execute(lock))
    database.close()


def test_haste_does_not_wait_for_a_file_that_others_write_to_and_patience_does(tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    database, other = open_database(url), open_database(url)
    nothing, limit = sa.text("SELECT 1"), sa.text("PRAGMA busy_timeout")
    with held(other, nothing), database.hasty(), pytest.raises(exc.DBAPIError, match="database is locked"):
        database.write(one)
    assert database.read(lambda c: c.execute(limit).scalar()) == BUSY_SQLITE_S * 1000
    database.close()


def test_a_slow_statement_is_given_more_time_when_it_is_tried_again(url, monkeypatch):
    monkeypatch.setattr(patience_module, "USUAL", Pace(1))
    database = rejoin_database(url, Patience(10.0))
    number = sa.text("SELECT CONNECTION_ID() + 0 * SLEEP(2)")
    quick = sa.text("SELECT CONNECTION_ID()")
    before = database.read(lambda c: c.execute(quick).scalar())
    slow = database.read(lambda c: c.execute(number).scalar())
    assert slow != before  # the first try has cost the connection
    assert database.read(lambda c: c.execute(number).scalar()) == slow  # the new one waits longer
    with database.hasty():
        hasty = database.read(lambda c: c.execute(quick).scalar())
        assert database.read(lambda c: c.execute(quick).scalar()) == hasty != slow
    assert database.read(lambda c: c.execute(quick).scalar()) == hasty  # good enough for a first try
    database.close()


def test_a_limit_of_the_users_url_holds(url, monkeypatch):
    monkeypatch.setattr(patience_module, "USUAL", Pace(1))
    database = rejoin_database(f"{url}&read_timeout=100", Patience(0.0))
    assert database.read(lambda c: c.execute(sa.text("SELECT SLEEP(2)")).scalar()) == 0
    database.close()


def test_what_does_not_pass_is_not_tried_again(url):
    database, tries = open_database(url), []

    def work(connection: sa.Connection) -> None:
        tries.append(1)
        connection.execute(sa.text("SELECT * FROM not_there"))

    with pytest.raises(exc.ProgrammingError):
        database.write(work)
    assert len(tries) == 1
    database.close()


def test_a_deadlock_is_repeated_without_any_patience(mariadb, url):
    first, second = (open_database(url, Patience(0.0)) for _ in range(2))
    first.write(lambda c: c.execute(sa.text("CREATE TABLE d (i INT PRIMARY KEY, n INT) ENGINE=InnoDB")))
    first.write(lambda c: c.execute(sa.text("INSERT INTO d VALUES (1, 0), (2, 0)")))
    both = threading.Barrier(2)

    def add(rows: tuple[int, int]):
        tried = []

        def work(connection: sa.Connection) -> None:
            tried.append(1)
            for row in rows:
                connection.execute(sa.text(f"UPDATE d SET n = n + 1 WHERE i = {row}"))
                if len(tried) == 1 and row == rows[0]:
                    both.wait(60)

        return work

    other = threading.Thread(target=lambda: second.write(add((2, 1))))
    other.start()
    first.write(add((1, 2)))
    other.join()
    assert first.read(lambda c: c.execute(sa.text("SELECT SUM(n) FROM d")).scalar()) == 4
    first.close()
    second.close()
