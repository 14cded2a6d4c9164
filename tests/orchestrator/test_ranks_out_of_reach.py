"""Ranks on nodes that do not reach the database which rank 0 has reached."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from affinity.choices import Choices
from launchers import Rank
from orchestrator.errors import StorageError
from orchestrator.launching import joining
from orchestrator.launching.launch import Wish
from orchestrator.launching.peers import Decision
from orchestrator.machine import read_share
from orchestrator.spec import RunSpec


class Gate:
    """A port of this machine that leads to a server's socket; closed, it refuses newcomers alone."""

    def __init__(self, server: Path) -> None:
        self._server = server
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def open(self) -> None:
        start = asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self._listener = asyncio.run_coroutine_threadsafe(start, self._loop).result(60)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._listener.close)

    def end(self) -> None:
        asyncio.run_coroutine_threadsafe(self._cancel(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    async def _cancel(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        self._listener.close()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(str(self._server))
        await asyncio.gather(self._pump(reader, inner_writer), self._pump(inner_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError):
                while data := await reader.read(65536):
                    writer.write(data)
                    await writer.drain()
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@pytest.fixture
def gate(mariadb) -> Iterator[Gate]:
    gate = Gate(mariadb.socket)
    gate.open()
    yield gate
    gate.end()


def start_rank(cli, index: int, url: str) -> subprocess.Popen[str]:
    cli.env |= {"OMPI_COMM_WORLD_RANK": str(index), "OMPI_COMM_WORLD_SIZE": "2", "NANO_HPO_MPI": "no"}
    cli.env |= {"OMPI_COMM_WORLD_LOCAL_RANK": str(index), "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}
    words = ("run", "job.py:held", "-n", 2, "--oversubscribe", "--draw", "none", "--json", "--storage", url)
    return cli.start(*words)


def test_a_rank_says_at_once_what_it_does_not_reach_and_joins_when_it_does(cli, mariadb, gate) -> None:
    database = mariadb.create_database().partition("?")[0].rpartition("/")[2]
    url = f"mysql://root@127.0.0.1:{gate.port}/{database}"
    first = start_rank(cli, 0, url)
    while not (cli.cwd / "began-0").exists():
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    gate.close()
    second = start_rank(cli, 1, url)
    assert second.stderr is not None
    line = second.stderr.readline()
    assert line.startswith("Rank 1 tries again: ")
    assert f"gets no connection to 127.0.0.1, port {gate.port}" in line
    assert "--storage-proxy" in line
    gate.open()
    while not (cli.cwd / "began-1").exists():
        assert first.poll() is second.poll() is None
        time.sleep(0.05)
    (cli.cwd / "go").touch()
    said = [rank.communicate(timeout=240)[1] for rank in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], said
    done = mariadb.execute(f"SELECT agent_id FROM {database}.nano_attempts WHERE cause = 'returned'")
    assert len(done) == len(set(done)) == 2  # one trial of each rank


@pytest.mark.parametrize("has_heard", [True, False], ids=["told by MPI", "without MPI"])
def test_a_rank_gives_up_with_what_it_does_not_reach(tmp_path, monkeypatch, has_heard: bool) -> None:
    monkeypatch.setattr(joining, "_REACH_S" if has_heard else "_PATIENCE_S", 0.5)
    monkeypatch.chdir(tmp_path)
    rank = Rank(1, 2, 0, 1, "openmpi")
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        url = f"mysql://u@127.0.0.1:{port}/d"
        spec = RunSpec("f", "s", n_trials=1, storage_url=url, choices=Choices(oversubscribe=True))
        decision = Decision("r", str(tmp_path), None, spec.as_json()) if has_heard else None
        wish = Wish(run_id=None if has_heard else "r")
        with pytest.raises(StorageError, match=f"Rank 1 tried for long enough: .*port {port}"):
            joining.await_rank_zero(spec, rank, read_share(spec, rank, {}), wish, decision)
