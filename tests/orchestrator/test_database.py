"""One connection to a real server: closed when idle, opened again, patient as long as it was told to be."""

from __future__ import annotations

import logging
import multiprocessing
import threading
import time

import pytest
import sqlalchemy as sa
from sqlalchemy import exc

from orchestrator.sql import database as database_module
from orchestrator.sql.idle import IdleCloser
from orchestrator.sql.opening import open_database
from orchestrator.sql.patience import Patience
from tests.conftest import MariaDB


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


def wait_until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


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


def test_a_child_works_although_another_thread_of_its_parent_had_the_turn(url):
    database = open_database(url)
    held, done = threading.Event(), threading.Event()

    def hold(connection: sa.Connection) -> None:
        held.set()
        assert done.wait(60)

    holder = threading.Thread(target=lambda: database.read(hold))
    holder.start()
    assert held.wait(60)
    child = multiprocessing.get_context("fork").Process(target=lambda: database.read(one))
    child.start()
    child.join(60)
    child.kill()  # if it still waits for its turn
    done.set()
    holder.join()
    assert child.exitcode == 0
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
