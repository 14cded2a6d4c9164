"""How many connections a run takes, how many a server has, and when they are too many."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier

import pytest
import sqlalchemy as sa

from orchestrator.errors import StorageError
from orchestrator.relay import desk
from orchestrator.relay.lend import lend_to_this_machine
from orchestrator.relay.need import Room, connections_wanted, needs_relay, room
from orchestrator.relay.relay import Relay
from orchestrator.sql.opening import rejoin_database
from orchestrator.sql.patience import Patience


def test_each_worker_and_each_agent_takes_a_connection():
    assert connections_wanted(1, 1) == 2
    assert connections_wanted(16, 4) == 80


@pytest.mark.parametrize(
    ("wanted", "found", "words"),
    [
        (74, Room(151, None, 0, 0), None),
        (75, Room(151, None, 0, 0), "75 connections would be more than half of the 148"),
        (5, Room(151, 10, 0, 0), None),
        (6, Room(151, 10, 0, 0), "half of the 10"),
        (50, Room(151, None, 99, 0), "50 connections would be more than the 49 that the server has left"),
        (49, Room(151, None, 99, 0), None),
        (5, Room(151, 10, 6, 6), "the 4 that"),
        (4, Room(151, 10, 6, 6), None),
        (1, Room(2, None, 2, 2), "half of the 0"),
        (10**6, None, None),
    ],
)
def test_more_than_half_of_what_there_may_be_needs_a_relay(wanted, found, words):
    reason = needs_relay(wanted, found)
    assert (reason is None) == (words is None)
    assert words is None or words in reason


def test_the_room_of_a_server_is_what_it_says(mariadb):
    url = mariadb.create_database()
    before = room(url)
    assert before is not None
    ((_, limit),) = mariadb.execute("SHOW VARIABLES LIKE 'max_connections'")
    assert before.max_connections == int(limit)
    assert before.max_user_connections is None
    engine = sa.create_engine(url)
    with engine.connect():
        during = room(url)
    engine.dispose()
    assert during is not None
    assert (during.in_use, during.in_use_by_user) == (before.in_use + 1, before.in_use_by_user + 1)


def test_an_account_may_have_a_limit_of_its_own(mariadb):
    url = mariadb.create_database()
    name = url.partition("localhost/")[2].partition("?")[0]
    mariadb.execute(f"GRANT ALL ON {name}.* TO few@localhost IDENTIFIED BY 'x' WITH MAX_USER_CONNECTIONS 7")
    found = room(url.replace("root@", "few:x@"))
    assert found is not None
    assert (found.max_user_connections, found.in_use_by_user, found.left, found.limit) == (7, 0, 7, 7)


@pytest.fixture
def two_url(mariadb) -> Iterator[str]:
    """The URL of a database with a table ``h`` for an account that may have two connections."""
    url = mariadb.create_database()
    name = url.partition("localhost/")[2].partition("?")[0]
    mariadb.execute(f"CREATE TABLE {name}.h (n INT) ENGINE=InnoDB AS SELECT 0 AS n")
    mariadb.execute(f"GRANT ALL ON {name}.* TO two@localhost IDENTIFIED BY 'x' WITH MAX_USER_CONNECTIONS 2")
    yield url.replace("root@", "two:x@")
    mariadb.execute("DROP USER two@localhost")


def add(c: sa.Connection) -> None:
    c.execute(sa.text("UPDATE h SET n = n + 1"))


def count(url: str) -> int:
    with closing(rejoin_database(url, Patience(0.0))) as database:
        return int(database.read(lambda c: c.execute(sa.text("SELECT n FROM h")).scalar_one()))


def all_add(relay: Relay, n_clients: int, n_times: int) -> int:
    """Clients who have no patience at all; the most connections that the relay had while they were at it."""
    begin = Barrier(n_clients)

    def work(_: int) -> int:
        most = 0
        with closing(rejoin_database(relay.url, Patience(0.0))) as database:
            begin.wait(60)
            for _ in range(n_times):
                database.write(add)
                most = max(most, relay.n_connections)
        return most

    with ThreadPoolExecutor(n_clients) as clients:
        return max(clients.map(work, range(n_clients)))


@pytest.mark.parametrize("pause_s", [0.0, 600.0])  # as if each refusal were long ago; as if none were
def test_clients_of_a_relay_do_not_notice_that_its_server_gives_fewer_connections(
    two_url, monkeypatch, pause_s
):
    monkeypatch.setattr(desk, "_PAUSE_S", pause_s)
    with lend_to_this_machine(two_url, n_connections=4) as relay:
        assert 0 < all_add(relay, 8, 25) <= 2
        assert count(relay.url) == 200


def test_a_relay_takes_more_connections_once_its_server_gives_them(two_url, mariadb, monkeypatch):
    monkeypatch.setattr(desk, "_PAUSE_S", 0.0)
    with lend_to_this_machine(two_url, n_connections=4) as relay:
        assert all_add(relay, 8, 5) <= 2
        mariadb.execute("ALTER USER two@localhost WITH MAX_USER_CONNECTIONS 3")
        assert any(all_add(relay, 8, 5) == 3 for _ in range(20))


def test_clients_hear_of_a_server_that_gives_no_connection_at_all(two_url):
    with lend_to_this_machine(two_url, n_connections=4) as relay:
        engine = sa.create_engine(two_url)
        with engine.connect(), engine.connect():
            with pytest.raises(StorageError, match="max_user_connections") as raised:
                count(relay.url)
            assert raised.value.is_passing
        engine.dispose()
        assert count(relay.url) == 0


def test_what_has_no_limit_has_no_room(tmp_path, mariadb):
    assert room(f"sqlite:///{tmp_path / 'study.db'}") is None
    with lend_to_this_machine(mariadb.create_database()) as relay:
        assert room(relay.url) is None
