"""How many connections a run takes, how many a server has, and when they are too many."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from orchestrator.relay.lend import lend_to_this_machine
from orchestrator.relay.need import Room, connections_wanted, needs_relay, room


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


def test_what_has_no_limit_has_no_room(tmp_path, mariadb):
    assert room(f"sqlite:///{tmp_path / 'study.db'}") is None
    with lend_to_this_machine(mariadb.create_database()) as relay:
        assert room(relay.url) is None
