"""A database that another process lends: the same answers, the same errors, the same patience."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy import exc

from orchestrator.causes import Cause
from orchestrator.errors import StorageError
from orchestrator.relay import address as address_module
from orchestrator.relay import client as client_module
from orchestrator.relay.address import Address, read_address
from orchestrator.relay.handshake import Keys, StrangerError, borrow
from orchestrator.relay.handshake import lend as show_to_borrower
from orchestrator.relay.lend import lend, lend_to_other_machines, lend_to_this_machine
from orchestrator.relay.peer import require_same_user
from orchestrator.relay.values import decoded, encoded
from orchestrator.relay.wire import LinkLost, Wire
from orchestrator.server.address import Tcp
from orchestrator.spec import RunSpec
from orchestrator.sql.advice import collation_trap, require_server
from orchestrator.sql.failures import Trouble, is_passing, trouble
from orchestrator.sql.opening import open_database, rejoin_database
from orchestrator.sql.patience import Patience
from orchestrator.storage.attempts import AttemptTable, Result, Seat
from orchestrator.storage.claims import Claims
from orchestrator.storage.runs import RunTable
from orchestrator.storage.study_storage import StudyStorage
from orchestrator.storage.trial_writer import TrialWriter
from orchestrator.storage_url import checked, masked, relay_file, relay_url, sqlite_path
from tests.conftest import MariaDB
from tests.orchestrator.waiting import wait_until

LENDS = """
import sys
from pathlib import Path
from orchestrator.relay.lend import lend
with lend(sys.argv[1], Path(sys.argv[2])) as relay:
    print(relay.url, flush=True)
    sys.stdin.read()
"""
WORKS = """
import sys
from optuna.trial import TrialState
from orchestrator.causes import Cause
from orchestrator.sql.opening import rejoin_database
from orchestrator.sql.patience import Patience
from orchestrator.storage.attempts import Result, Seat
from orchestrator.storage.claims import Claims
from orchestrator.storage.trial_writer import TrialWriter
url, study_id, slot = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
database = rejoin_database(url, Patience(120.0))
claims, writer = Claims(database, study_id), TrialWriter(database)
while claim := claims.claim(Seat("run", "agent", slot, "0", "cpu", 1, slot)):
    print(claim.number, flush=True)
    writer.finish(claim, Result(TrialState.COMPLETE, [1.0], Cause.RETURNED))
database.close()
"""
HOLDS = """
import sys, time
import sqlalchemy as sa
from orchestrator.sql.opening import rejoin_database
from orchestrator.sql.patience import Patience
database = rejoin_database(sys.argv[1], Patience(0.0))
def hold(c):
    c.execute(sa.text("UPDATE h SET n = n + 1"))
    print("held", flush=True)
    sys.stdin.readline()
    c.execute(sa.text("SELECT 1"))
try:
    database.write(hold)
except Exception as error:
    from orchestrator.sql.failures import is_passing
    print("passing" if is_passing(error) else repr(error), flush=True)
"""


@pytest.fixture
def server():
    """A server of one's own, to be killed."""
    mine = MariaDB()
    mine.start()
    yield mine
    mine.remove()


@pytest.fixture
def started():
    """Starts a script; what a failed test leaves running is killed."""
    processes: list[subprocess.Popen[str]] = []

    def start(script: str, *words: object) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", script, *map(str, words)]
        processes.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def made_url(storage_url: str) -> str:
    """A database with all tables."""
    open_database(storage_url).close()
    return storage_url


@pytest.fixture
def relay(made_url: str):
    with lend_to_this_machine(made_url) as relay:
        yield relay


@pytest.fixture
def small_relay(tmp_path):
    """Of a SQLite file without tables."""
    with lend_to_this_machine(f"sqlite:///{tmp_path / 'small.db'}") as relay:
        yield relay


def joined(url: str, patience_s: float = 60.0):
    return closing(rejoin_database(url, Patience(patience_s)))


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def run_of(url: str, n_trials: int) -> int:
    """A begun run in a database; the id of its study."""
    with closing(open_database(url)) as database:
        study_id = StudyStorage(database).create_new_study([StudyDirection.MINIMIZE], "study")
        RunTable(database).create("run", study_id, RunSpec("f", "study", n_trials=n_trials), seed=1)
    return study_id


def counter(url: str) -> None:
    """A table ``h`` with one number, 0."""
    with closing(open_database(url)) as database:
        engine = " ENGINE=InnoDB" if url.startswith("mysql") else ""
        database.write(lambda c: c.execute(sa.text(f"CREATE TABLE h (n INT){engine}")))
        database.write(lambda c: c.execute(sa.text("INSERT INTO h VALUES (0)")))


def count(url: str) -> int:
    with joined(url) as database:
        return int(database.read(lambda c: c.execute(sa.text("SELECT n FROM h")).scalar_one()))


def add(c: sa.Connection) -> None:
    c.execute(sa.text("UPDATE h SET n = n + 1"))


def one(c: sa.Connection) -> int:
    return int(c.execute(sa.text("SELECT 1")).scalar_one())


# What travels


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, 0, -1, 2**63 - 1, -(2**63), 2**200, 0.1, 5e-324, -0.0, math.inf, -math.inf),
        *("", "ä\0\n\u2028 🎉 'x' \\ \ud800", "{}", b"", bytes(range(256)), Decimal("1.10"), Decimal("NaN")),
        *(datetime(2026, 1, 2, 3, 4, 5, 678901), datetime(2026, 1, 2, tzinfo=UTC), date(2026, 1, 2)),
        *(time_of_day(1, 2, 3, 4), timedelta(days=-1, microseconds=1), [1, [2.5, ["x"]]]),
    ],
    ids=repr,
)
def test_a_value_travels_exactly(value):
    (there,) = decoded(encoded([value]))
    assert (repr(there), type(there)) == (repr(value), type(value))


def test_what_is_no_number_travels_and_what_nobody_knows_does_not():
    assert math.isnan(decoded(encoded([math.nan]))[0])
    with pytest.raises(TypeError, match="'object' cannot travel"):
        encoded([object()])
    with pytest.raises(TypeError, match="'set' cannot travel"):
        encoded([{1}])


@pytest.mark.parametrize("data", [b"", b"[", b'{"a":1}', b'{"datetime":"x"}', b'{"bytes":7}', b"\xff", b"{}"])
def test_what_is_no_message_is_refused(data):
    with pytest.raises(ValueError, match="not a message"):
        decoded(data)


def test_what_is_stored_through_a_relay_is_what_is_read_without_one(relay, made_url):
    kinds = {
        **{"big": sa.BigInteger(), "real": sa.Float(53), "text": sa.Text(), "bytes": sa.LargeBinary()},
        **{"moment": sa.dialects.mysql.DATETIME(fsp=6) if "mysql" in made_url else sa.DateTime()},
    }
    table = sa.Table("v", sa.MetaData(), *(sa.Column(name, kind) for name, kind in kinds.items()))
    rows = [
        {
            "big": 2**63 - 1,
            "real": 0.1 + 0.2,
            "text": "ä 🎉 % %s ? : \\",
            "bytes": bytes(range(256)),
            "moment": datetime(2026, 1, 2, 3, 4, 5, 678901),
        },
        dict.fromkeys(kinds),
    ]
    with joined(relay.url) as lent, joined(made_url) as direct:
        lent.write(lambda c: table.create(c))
        lent.write(lambda c: c.execute(sa.insert(table), rows))
        assert [
            dict(row._mapping) for row in direct.read(lambda c: c.execute(sa.select(table)).all())
        ] == rows
        assert [dict(row._mapping) for row in lent.read(lambda c: c.execute(sa.select(table)).all())] == rows


def test_a_large_result_travels(small_relay):
    with joined(small_relay.url) as database:
        text = "x" * 3_000_000
        found = database.read(lambda c: c.execute(sa.text("SELECT :t"), {"t": text}).scalar())
        assert found == text


@pytest.mark.parametrize(
    "statement", ["SELECT * FROM not_there", "SELEC", "INSERT INTO studies (study_id) VALUES (NULL), (NULL)"]
)
def test_an_error_is_the_drivers_own(relay, made_url, statement):
    raised = []
    for url in (made_url, relay.url):
        with joined(url) as database, pytest.raises(exc.DBAPIError) as caught:
            database.write(lambda c: c.execute(sa.text(statement)))
        cause = caught.value.orig
        notes = getattr(cause, "sqlite_errorname", None)
        raised.append((type(caught.value), type(cause), cause.args, notes, trouble(caught.value)))
    assert raised[0] == raised[1]


def test_what_cannot_travel_is_an_error_of_the_statement(relay):
    with joined(relay.url) as database:
        with pytest.raises(exc.ProgrammingError, match="cannot travel"):
            database.write(lambda c: c.exec_driver_sql("SELECT 1", (object(),)))
        assert database.write(one) == 1


# What works as without


def test_processes_share_the_budget_of_a_run_exactly(relay, made_url, started):
    study_id = run_of(made_url, 60)
    workers = [started(WORKS, relay.url, study_id, slot) for slot in range(4)]
    numbers = [int(line) for worker in workers for line in worker.communicate()[0].split()]
    assert sorted(numbers) == list(range(60))
    assert all(worker.returncode == 0 for worker in workers)
    with joined(made_url) as database:
        assert AttemptTable(database, study_id).counts("run") == {"ended": 60}


def test_two_hundred_clients_at_once_share_four_connections(relay, made_url, mariadb):
    counter(made_url)
    begin, failures = threading.Barrier(200), []

    def work() -> None:
        try:
            with joined(relay.url) as database:
                begin.wait(120)
                for _ in range(3):
                    database.write(add)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(200)]
    for thread in threads:
        thread.start()
    most = 0
    for thread in threads:
        while thread.is_alive():
            most = max(most, relay.n_connections)
            thread.join(0.05)
    assert failures == []
    assert count(made_url) == 600
    assert 0 < most <= 4


def test_a_lent_database_can_be_lent_on(relay, made_url):
    with lend_to_this_machine(relay.url) as second, lend_to_this_machine(second.url) as third:
        counter(made_url)
        with joined(third.url) as database:
            database.write(add)
        with joined(third.url) as database, pytest.raises(exc.DBAPIError, match="not_there") as raised:
            database.read(lambda c: c.execute(sa.text("SELECT * FROM not_there")))
        assert type(raised.value) is (exc.ProgrammingError if "mysql" in made_url else exc.OperationalError)
        assert not is_passing(raised.value)
        assert count(third.url) == 1
    assert count(made_url) == 1


def test_other_machines_borrow_by_tcp(made_url, tmp_path):
    file = tmp_path / "relay.json"
    with lend_to_other_machines(made_url, file) as relay:
        assert relay.url == relay_url(file)
        written = json.loads(file.read_text())
        assert written["port"]
        assert not written["socket"]
        with joined(relay.url) as database:
            assert database.write(one) == 1
    assert not file.exists()


def test_tables_are_made_through_a_relay(storage_url):
    with lend_to_this_machine(storage_url) as relay:
        study_id = run_of(relay.url, 1)
        with joined(relay.url) as database:
            seat = Seat("run", "agent", 0, "0", "cpu", 1, os.getpid())
            claim = Claims(database, study_id).claim(seat)
            assert claim is not None
            assert claim.number == 0
    with joined(storage_url) as database:
        assert len(StudyStorage(database).get_all_trials(study_id)) == 1


@pytest.mark.parametrize("driver", ["mysql", "mysql+pymysql", "mariadb+mysqldb"])
def test_every_driver_of_mysql_can_be_lent(mariadb, driver):
    url = mariadb.create_database().replace("mysql", driver, 1)
    with lend_to_this_machine(url) as relay:
        study_id = run_of(relay.url, 1)
        again = sa.text(f"INSERT INTO studies (study_id, study_name) VALUES ({study_id}, 'another')")
        with joined(relay.url) as database, pytest.raises(exc.IntegrityError, match="1062"):
            database.write(lambda c: c.execute(again))
        assert collation_trap(relay.url) is None


def test_tables_of_plain_optuna_are_a_trap_through_a_relay_too(mariadb):
    url = mariadb.create_database()
    with lend_to_this_machine(url) as relay:
        open_database(url).close()
        with joined(url) as database:
            change = "ALTER TABLE trial_params MODIFY param_name VARCHAR(512) COLLATE utf8mb4_general_ci"
            database.write(lambda c: c.execute(sa.text(change)))
        assert collation_trap(relay.url) == collation_trap(url) is not None


# Who may come in


def test_the_secret_is_for_its_owner_and_not_in_the_url(small_relay):
    file = relay_file(small_relay.url)
    assert file is not None
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    address = read_address(file)
    assert Path(str(address.socket)).stat().st_mode & 0o777 == 0o600
    assert len(address.key) == 32
    assert address.secret not in repr(address) + small_relay.url + small_relay.where


def test_with_a_relay_its_folder_goes(tmp_path):
    relay = lend_to_this_machine(f"sqlite:///{tmp_path / 'small.db'}")
    file = relay_file(relay.url)
    assert file is not None
    assert file.exists()
    relay.close()
    relay.close()
    assert not file.parent.exists()
    with pytest.raises(StorageError, match="Nobody lends") as raised:
        rejoin_database(relay.url, Patience(0.0))
    assert raised.value.is_passing


@pytest.mark.parametrize("by_tcp", [False, True])
def test_who_does_not_know_the_secret_is_not_let_in(tmp_path, by_tcp):
    tcp = Tcp("127.0.0.1", 0) if by_tcp else None
    with lend(f"sqlite:///{tmp_path / 'small.db'}", tmp_path / "relay.json", tcp) as relay:
        address = read_address(tmp_path / "relay.json")
        wrong = Address(address.dialect, address.socket, address.host, address.port)
        wrong.write(tmp_path / "wrong.json")
        with pytest.raises(StorageError, match="has gone") as raised:
            rejoin_database(relay_url(tmp_path / "wrong.json"), Patience(0.0))
        assert raised.value.is_passing  # it may be the file of a relay that was just started anew
        assert relay.n_guests == 0
        with joined(relay.url) as database:
            assert database.read(one) == 1


def connected(address: Address) -> socket.socket:
    if address.socket is None:
        return socket.create_connection((address.host, address.port), 60)
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(60)
    link.connect(address.socket)
    return link


def test_what_strangers_send_or_do_not_send_keeps_nobody_waiting(tmp_path):
    with lend(f"sqlite:///{tmp_path / 'small.db'}", tmp_path / "relay.json", Tcp("127.0.0.1", 0)) as relay:
        address = read_address(tmp_path / "relay.json")
        strangers = [connected(address) for _ in range(20)]
        for stranger in strangers[:10]:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n" + b"x" * 1000)
        with joined(relay.url) as database:
            assert database.read(one) == 1
        with suppress(ConnectionResetError):
            while strangers[0].recv(1000):  # until it is sent away
                pass
        for stranger in strangers:
            stranger.close()


def test_a_lender_who_does_not_know_the_secret_is_not_believed():
    ours, theirs = socket.socketpair()

    def pretend() -> None:
        with theirs, suppress(StrangerError):
            show_to_borrower(theirs, b"b" * 32)

    impostor = threading.Thread(target=pretend)
    impostor.start()
    with ours, pytest.raises(StrangerError, match="has gone"):
        borrow(ours, b"a" * 32)
    impostor.join()


def test_an_impostor_cannot_give_a_borrowers_proof_back():
    """What shows that the borrower knows the secret does not show it for the lender."""
    ours, theirs = socket.socketpair()

    def reflect() -> None:
        theirs.sendall(b"nano-hpo relay 1\n" + bytes(32))
        said = theirs.recv(64, socket.MSG_WAITALL)
        theirs.sendall(said[32:])

    impostor = threading.Thread(target=reflect)
    impostor.start()
    with ours, theirs, pytest.raises(StrangerError, match="does not know the secret"):
        borrow(ours, b"a" * 32)
    impostor.join()


def test_a_message_that_was_changed_on_the_way_ends_the_connection():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        Wire(ours, Keys(b"a" * 32, b"b" * 32)).send(["commit"], 60)
        data = bytearray(theirs.recv(1000))
        data[-3] ^= 1
        ours.sendall(data)
        with pytest.raises(LinkLost, match="somebody else"):
            Wire(theirs, Keys(b"b" * 32, b"a" * 32)).receive(60)


def test_a_message_that_is_repeated_ends_the_connection():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        Wire(ours, Keys(b"a" * 32, b"b" * 32)).send(["commit"], 60)
        data = theirs.recv(1000)
        ours.sendall(data + data)
        hears = Wire(theirs, Keys(b"b" * 32, b"a" * 32))
        assert hears.receive(60) == ["commit"]
        with pytest.raises(LinkLost, match="somebody else"):
            hears.receive(60)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602, 0o666])
def test_a_file_that_others_may_read_is_not_believed(small_relay, mode):
    file = relay_file(small_relay.url)
    assert file is not None
    file.chmod(mode)
    with pytest.raises(StorageError, match=f"mode {mode:04o}") as raised:
        rejoin_database(small_relay.url, Patience(0.0))
    assert not raised.value.is_passing


def test_a_file_in_a_folder_that_others_may_write_is_not_believed(small_relay):
    file = relay_file(small_relay.url)
    assert file is not None
    file.parent.chmod(0o770)
    with pytest.raises(StorageError, match="can be written by others"):
        rejoin_database(small_relay.url, Patience(0.0))


def test_a_file_of_another_user_is_not_believed(small_relay, monkeypatch):
    mine = os.geteuid()
    monkeypatch.setattr(address_module.os, "geteuid", lambda: mine + 1)
    with pytest.raises(StorageError, match=f"belongs to user {mine}"):
        rejoin_database(small_relay.url, Patience(0.0))


def test_a_link_to_a_file_is_not_believed(small_relay, tmp_path):
    file = relay_file(small_relay.url)
    assert file is not None
    (tmp_path / "link.json").symlink_to(file)
    with pytest.raises(StorageError, match="cannot be read"):
        rejoin_database(relay_url(tmp_path / "link.json"), Patience(0.0))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"dialect": "sqlite+pysqlite", "socket": "/s", "secret": "00"}', "\0", '{"x": 1}'],
)
def test_a_file_of_something_else_is_a_line(tmp_path, text):
    file = tmp_path / "relay.json"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(StorageError, match="was not written by nano-hpo"):
        rejoin_database(relay_url(file), Patience(0.0))


def test_a_dialect_that_nobody_knows_is_refused_in_a_line(tmp_path):
    Address("oracle+thing", "/s").write(tmp_path / "relay.json")
    with pytest.raises(StorageError, match="cannot be lent"):
        rejoin_database(relay_url(tmp_path / "relay.json"), Patience(0.0))


def test_another_user_at_a_socket_is_refused(monkeypatch):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        require_same_user(ours)
        mine = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
        with pytest.raises(StrangerError, match=f"user {mine}"):
            require_same_user(ours)


def test_a_relay_whose_address_cannot_be_written_is_none(tmp_path):
    (tmp_path / "relay.json").mkdir()
    before = threading.active_count()
    with pytest.raises(StorageError, match="cannot be written"):
        lend(f"sqlite:///{tmp_path / 'small.db'}", tmp_path / "relay.json")
    assert threading.active_count() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["relay.json", "small.db"]


def test_a_database_in_memory_cannot_be_lent():
    with pytest.raises(StorageError, match="in memory"):
        lend_to_this_machine("sqlite:///:memory:")


def test_a_database_that_does_not_answer_cannot_be_lent(tmp_path):
    with pytest.raises(StorageError) as raised:
        lend_to_this_machine(f"mysql://root@localhost/x?unix_socket={tmp_path / 'none.sock'}")
    assert raised.value.is_passing


@pytest.mark.parametrize("name", ["plain", "a b?c%41#d", "user:pass@host", "ä🎉"])
def test_the_url_of_a_relay_names_any_file_and_needs_no_mask(tmp_path, name):
    file = tmp_path / name
    url = relay_url(file)
    assert relay_file(url) == file
    assert masked(url) == url
    assert checked(url) == url
    assert sqlite_path(url) is None
    require_server(url)


def test_a_relay_by_a_relative_file_is_refused():
    with pytest.raises(StorageError, match="three slashes"):
        checked("relay://relay.json")
    assert relay_file("sqlite:////relay") is relay_file("mysql://u@h/relay") is None


# What goes wrong


def test_a_client_killed_in_a_transaction_is_undone_and_others_go_on(made_url, started):
    counter(made_url)
    with lend_to_this_machine(made_url, n_connections=1) as relay:
        holder = started(HOLDS, relay.url)
        assert first_line(holder) == "held"

        def work() -> None:
            with joined(relay.url) as database:
                database.write(add)

        other = threading.Thread(target=work)
        other.start()
        wait_until(lambda: relay.n_guests == 2)
        holder.kill()
        other.join()
        assert count(relay.url) == 1


def test_a_client_that_hangs_in_a_transaction_does_not_keep_the_others_waiting(made_url, tmp_path, started):
    counter(made_url)
    with lend(made_url, tmp_path / "relay.json", n_connections=1, hang_s=0.5) as relay:
        holder = started(HOLDS, relay.url)
        assert first_line(holder) == "held"
        holder.send_signal(signal.SIGSTOP)
        with joined(relay.url) as database:
            database.write(add)
        holder.send_signal(signal.SIGCONT)
        assert holder.communicate("go on\n")[0].strip() == "passing"
        assert count(relay.url) == 1


def test_what_a_client_that_has_gone_was_waiting_for_is_broken_off(mariadb, started):
    url = mariadb.create_database()
    sleeps = "import sys, sqlalchemy as sa; from orchestrator.sql.opening import rejoin_database as r; "
    sleeps += "from orchestrator.sql.patience import Patience; d = r(sys.argv[1], Patience(0.0)); "
    sleeps += "d.read(lambda c: c.execute(sa.text('SELECT SLEEP(3000)')))"

    def is_asleep() -> bool:
        return any("SLEEP(3000)" in str(row[7]) for row in mariadb.execute("SHOW PROCESSLIST"))

    with lend_to_this_machine(url, n_connections=1) as relay:
        sleeper = started(sleeps, relay.url)
        wait_until(is_asleep)
        sleeper.kill()
        with joined(relay.url) as database:
            assert database.read(one) == 1


def test_a_relay_that_is_killed_is_a_failure_that_passes(made_url, tmp_path, started):
    file = tmp_path / "relay.json"
    relay = started(LENDS, made_url, file)
    url = first_line(relay)
    counter(made_url)
    with joined(url, 0.0) as hasty, joined(url, 120.0) as patient:
        hasty.write(add)
        relay.kill()
        relay.wait()
        for _ in range(2):  # on the connection that was there; on one that it tries to open
            with pytest.raises(exc.DBAPIError) as raised:
                hasty.write(add)
            assert trouble(raised.value) is Trouble.AWAY
            assert raised.value.connection_invalidated
        waiting = threading.Thread(target=lambda: patient.write(add))
        waiting.start()
        assert first_line(started(LENDS, made_url, file)) == url
        waiting.join()
        hasty.write(add)
    assert count(made_url) == 3


def test_what_was_begun_is_undone_with_its_relay(made_url, tmp_path, started):
    file = tmp_path / "relay.json"
    counter(made_url)
    relay = started(LENDS, made_url, file)
    url = first_line(relay)
    tries = []

    def work(c: sa.Connection) -> None:
        add(c)
        if not tries:
            relay.kill()
            relay.wait()
            first_line(started(LENDS, made_url, file))
        tries.append(1)
        add(c)

    with joined(url) as database:
        database.write(work)
    assert len(tries) == 2
    assert count(made_url) == 2


def test_a_database_that_is_killed_and_restarted_is_survived_through_a_relay(server):
    url = server.create_database()
    study_id = run_of(url, 40)
    numbers, n_restarts = [], 3
    with lend_to_this_machine(url) as relay:

        def work(slot: int) -> None:
            with joined(relay.url, 120.0) as database:
                claims = Claims(database, study_id)
                while claim := claims.claim(Seat("run", "agent", slot, "0", "cpu", 1, slot)):
                    numbers.append(claim.number)
                    time.sleep(0.1)

        workers = [threading.Thread(target=work, args=(slot,)) for slot in range(2)]
        for worker in workers:
            worker.start()
        for _ in range(n_restarts):
            before = len(numbers)
            wait_until(lambda before=before: len(numbers) > before)
            server.kill()
            server.start()
        for worker in workers:
            worker.join()
    assert sorted(numbers) == list(range(40))
    with joined(url) as database:
        assert len(StudyStorage(database).get_all_trials(study_id)) == 40


def test_a_commit_whose_answer_is_lost_is_not_done_twice(relay, made_url, monkeypatch):
    study_id = run_of(made_url, 2)
    ask, lost = client_module.LentConnection.ask, []

    def loses(self, request):
        answer = ask(self, request)
        if request[0] == "commit" and not lost:
            lost.append(True)
            self._break()
            raise self._lost(2013, "for this test")
        return answer

    monkeypatch.setattr(client_module.LentConnection, "ask", loses)
    with joined(relay.url) as database:
        claims = Claims(database, study_id)
        seat = Seat("run", "agent", 0, "0", "cpu", 1, os.getpid())
        taken = [claims.claim(seat) for _ in range(3)]
        assert lost
        assert [claim and claim.number for claim in taken] == [0, 1, None]
        assert len(StudyStorage(database).get_all_trials(study_id)) == 2


def test_a_transaction_that_has_lost_its_connection_is_not_gone_on_with(mariadb):
    url = mariadb.create_database()
    counter(url)
    with lend_to_this_machine(url, n_connections=1) as relay, joined(relay.url) as database:
        raw = database.engine.raw_connection()
        cursor = raw.cursor()
        cursor.execute("UPDATE h SET n = n + 1")
        cursor.execute("SELECT CONNECTION_ID()")
        mariadb.execute(f"KILL {cursor.fetchone()[0]}")
        again = partial(cursor.execute, "UPDATE h SET n = n + 1")
        for attempt in (again, again, raw.commit):
            with pytest.raises(Exception, match=r"2006|2013|1927"):
                attempt()
        raw.invalidate()
        assert count(relay.url) == 0


def test_an_interrupted_client_takes_no_answer_for_another(small_relay, monkeypatch):
    class Interrupted(BaseException):
        """What a signal's handler may raise anywhere."""

    receive, is_due = Wire.receive, []

    def receives(self, wait_s):
        if threading.current_thread() is threading.main_thread() and is_due:
            raise is_due.pop()
        return receive(self, wait_s)

    monkeypatch.setattr(Wire, "receive", receives)
    with joined(small_relay.url) as database:
        cursor = database.engine.raw_connection().cursor()
        is_due.append(Interrupted())
        with pytest.raises(Interrupted):
            cursor.execute("SELECT 1")
        with pytest.raises(sqlite3.OperationalError, match="is lost"):
            cursor.execute("SELECT 2")
        is_due.append(Interrupted())
        with pytest.raises(Interrupted):
            database.read(one)
        assert database.read(lambda c: c.execute(sa.text("SELECT 3")).scalar()) == 3


def test_haste_does_not_wait_for_a_server_that_stands_still_behind_a_relay(server):
    url = server.create_database()
    open_database(url).close()
    with lend_to_this_machine(url) as relay, joined(relay.url) as database:
        assert database.write(one) == 1
        server._process.send_signal(signal.SIGSTOP)
        too_late = threading.Timer(60.0, lambda: server._process.send_signal(signal.SIGCONT))
        too_late.start()
        for _ in range(2):
            with database.hasty(), pytest.raises(exc.DBAPIError) as raised:
                database.read(one)
            assert is_passing(raised.value)
        assert too_late.is_alive()
        too_late.cancel()
        server._process.send_signal(signal.SIGCONT)
        assert database.write(one) == 1


def test_haste_does_not_wait_for_what_others_hold(made_url, started):
    counter(made_url)
    with lend_to_this_machine(made_url) as relay:
        holder = started(HOLDS, relay.url)
        assert first_line(holder) == "held"
        with joined(relay.url) as database:
            with database.hasty(), pytest.raises(exc.DBAPIError) as raised:
                database.write(add)
            assert is_passing(raised.value)
        holder.communicate("go on\n")
        assert count(made_url) == 1


def test_what_nobody_waits_for_any_more_does_not_wait_for_its_lock(relay, made_url):
    is_mysql = made_url.startswith("mysql")
    limit = sa.text("SELECT @@innodb_lock_wait_timeout * 1000" if is_mysql else "PRAGMA busy_timeout")
    with joined(relay.url) as database:
        assert database.read(lambda c: c.execute(limit).scalar()) == 20_000
        with database.hasty():
            assert database.read(lambda c: c.execute(limit).scalar()) == 2_000
        assert database.read(lambda c: c.execute(limit).scalar()) == 20_000


def test_a_connection_that_nobody_uses_is_closed_and_opened_again(made_url, tmp_path):
    with lend(made_url, tmp_path / "relay.json", idle_s=0.05) as relay, joined(relay.url) as database:
        for _ in range(2):
            assert database.write(one) == 1
            wait_until(lambda: relay.n_connections == 0)
        assert relay.n_guests == 1


def test_closing_a_relay_tells_its_clients_and_waits_for_nobody(made_url, started):
    counter(made_url)
    relay = lend_to_this_machine(made_url)
    holder = started(HOLDS, relay.url)
    assert first_line(holder) == "held"
    with joined(relay.url, 0.0) as database:
        relay.close()
        with pytest.raises(exc.DBAPIError) as raised:
            database.write(one)
        assert is_passing(raised.value)
    assert holder.communicate("go on\n")[0].strip() == "passing"
    assert count(made_url) == 0


def test_a_forked_child_leaves_its_parents_connection_alone(small_relay):
    with joined(small_relay.url) as database:
        assert database.read(one) == 1
        child = os.fork()
        if not child:
            with suppress(BaseException):
                database.read(one)
                database.close()
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        assert database.read(one) == 1


def test_nothing_is_left_of_closed_relays(made_url):
    lend_to_this_machine(made_url).close()

    def in_use() -> tuple[int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    before = in_use()
    for _ in range(5):
        with lend_to_this_machine(made_url) as relay, joined(relay.url) as database:
            assert database.write(one) == 1
    wait_until(lambda: all(now <= then for now, then in zip(in_use(), before, strict=True)))


def test_results_of_trials_go_through_a_relay(relay, made_url):
    study_id = run_of(made_url, 1)
    with joined(relay.url) as database:
        claim = Claims(database, study_id).claim(Seat("run", "agent", 0, "0", "cpu", 1, 1))
        assert claim is not None
        TrialWriter(database).finish(claim, Result(TrialState.COMPLETE, [math.inf], Cause.RETURNED))
        (trial,) = StudyStorage(database).get_all_trials(study_id)
        assert trial.values == [math.inf]
