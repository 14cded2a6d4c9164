"""Nodes that cannot reach the database: one line with host and port, soon, and what to do about it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from orchestrator.errors import StorageError
from orchestrator.sql import asking

DRIVERS = ("mysql", "mysql+pymysql")
HERE = socket.gethostname()
OWN_SERVER = "--storage auto:mysql"
BEHIND_MPIRUN = {
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "1",
    "OMPI_COMM_WORLD_LOCAL_RANK": "0",
}


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port at which nobody listens: it is taken, and not listened at."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def mute_port() -> Iterator[int]:
    """A port at which connections are taken and nobody says anything."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener.getsockname()[1]


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port whose queue is full, so that the kernel answers nobody, as behind a firewall that drops."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        place, clients = listener.getsockname(), [socket.socket() for _ in range(4)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(place)
        yield place[1]
        for client in clients:
            client.close()


def refusal(url: str) -> str:
    with pytest.raises(StorageError) as caught:
        asking.study_names(url)
    assert caught.value.is_passing
    text = str(caught.value)
    assert "s3cret" not in text
    assert "\n" not in text
    return text


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_closed_port_is_named_with_host_and_node(driver: str, closed_port: int) -> None:
    said = refusal(f"{driver}://u:s3cret@127.0.0.1:{closed_port}/d")
    assert f"{HERE} gets no connection to 127.0.0.1, port {closed_port}" in said
    assert OWN_SERVER in said
    assert "--storage-proxy" not in said  # there is no other rank


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("kind", ["mute_port", "full_port"])
def test_who_does_not_answer_is_not_waited_for(
    driver: str, kind: str, request: pytest.FixtureRequest
) -> None:
    """The suite's own limit ends this test where the driver waits on as for a long statement."""
    port = request.getfixturevalue(kind)
    said = refusal(f"{driver}://u:s3cret@127.0.0.1:{port}/d?connect_timeout=1")
    assert f"{HERE} gets no answer from 127.0.0.1, port {port}: a firewall" in said


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_name_that_is_unknown_here_is_named(driver: str) -> None:
    said = refusal(f"{driver}://u:s3cret@no-such-host.invalid/d")
    assert f"{HERE} does not know the host no-such-host.invalid (port 3306)" in said


def test_host_and_port_of_an_option_file_count(tmp_path, closed_port: int) -> None:
    file = tmp_path / "my.cnf"
    file.write_text(f"[client]\nhost = 127.0.0.1\nport = {closed_port}\npassword = s3cret\n")
    said = refusal(f"mysql:///d?read_default_file={file}")
    assert f"127.0.0.1, port {closed_port}" in said
    (tmp_path / "server.cnf").touch()  # now it is that of a private server, as auto:mysql makes it
    assert OWN_SERVER not in refusal(f"mysql:///d?read_default_file={file}")


@pytest.mark.parametrize(("rank", "may_borrow"), [("0", False), ("1", True)])
def test_ranks_hear_of_the_proxy_where_rank_0_may_be_one(
    monkeypatch: pytest.MonkeyPatch, closed_port: int, rank: str, may_borrow: bool
) -> None:
    for name, value in {**BEHIND_MPIRUN, "OMPI_COMM_WORLD_RANK": rank}.items():
        monkeypatch.setenv(name, value)
    said = refusal(f"mysql://u:s3cret@127.0.0.1:{closed_port}/d")
    assert ("--storage-proxy" in said) is may_borrow
    assert OWN_SERVER in said


def test_a_server_that_refuses_the_account_was_reached(mariadb) -> None:
    with pytest.raises(StorageError, match="See user, password"):
        asking.study_names(mariadb.url("d").replace("root@", "nobody:s3cret@"))
    with pytest.raises(StorageError) as caught:
        asking.study_names(f"mysql://root@localhost/d?unix_socket={mariadb.folder}/none.sock")
    assert "gets no" not in str(caught.value)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_run_says_it_in_one_line(cli, driver: str, mute_port: int) -> None:
    url = f"{driver}://u:s3cret@127.0.0.1:{mute_port}/d?connect_timeout=1"
    done = cli("run", "job.py:empty", "-n", 1, "--storage", url)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), done.err
    assert f"port {mute_port}" in done.err
    assert OWN_SERVER in done.err
