"""Copies of a SQLite file that is in use, and which one the next job goes on with."""

from __future__ import annotations

import errno
import shutil
import sqlite3
import threading
import time
from contextlib import closing

import pytest
import sqlalchemy as sa

from orchestrator.host import this_process
from orchestrator.scratch.copies import Copier, copy_sqlite
from orchestrator.scratch.restoring import kept_in, newest, restore
from orchestrator.sql.opening import open_database
from orchestrator.storage.runs import RunTable
from tests.orchestrator.waiting import wait_until


def make(file, n=0):
    """A database with a table ``t`` of two columns that always sum up to 0."""
    with closing(sqlite3.connect(file)) as c:
        c.execute("PRAGMA journal_mode=WAL")
        c.execute("CREATE TABLE t (a INT, b INT)")
        c.execute("INSERT INTO t VALUES (?, ?)", (n, -n))
        c.commit()


def content(file):
    with closing(sqlite3.connect(file)) as c:
        assert c.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return c.execute("SELECT a, b FROM t").fetchone()


def set_to(file, n):
    with closing(sqlite3.connect(file)) as c:
        c.execute("UPDATE t SET a = ?, b = ?", (n, -n))
        c.commit()


def test_a_copy_is_of_one_moment_whoever_writes_meanwhile(tmp_path):
    file, target = tmp_path / "study.db", tmp_path / "run" / "study.db"
    make(file)
    is_over, n_written = threading.Event(), [0]

    def write() -> None:
        with closing(sqlite3.connect(file, timeout=60)) as c:
            while not is_over.is_set():
                n_written[0] += 1
                c.execute("UPDATE t SET a = ?", (n_written[0],))
                c.execute("UPDATE t SET b = ?", (-n_written[0],))
                c.commit()

    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    for _ in range(20):
        before = n_written[0]
        wait_until(lambda before=before: n_written[0] > before)
        copy_sqlite(file, target)
        seen.append(content(target))
    is_over.set()
    writer.join()
    assert all(a + b == 0 for a, b in seen)
    assert seen == sorted(seen, key=lambda pair: pair[0])
    assert seen[-1][0] > 0


def test_a_copy_holds_what_is_in_the_log_and_is_a_single_file(tmp_path):
    file, target = tmp_path / "study.db", tmp_path / "run" / "study.db"
    make(file)
    with closing(sqlite3.connect(file)) as held:  # so that the log is not put into the file
        held.execute("BEGIN")
        held.execute("SELECT * FROM t").fetchone()
        set_to(file, 7)
        copy_sqlite(file, target)
    assert content(target) == (7, -7)
    assert [path.name for path in target.parent.iterdir()] == ["study.db"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "study.db"]


def test_a_copy_that_fails_leaves_the_last_one_and_nothing_else(tmp_path, monkeypatch):
    file, target = tmp_path / "study.db", tmp_path / "run" / "study.db"
    make(file, 1)
    copy_sqlite(file, target)
    set_to(file, 2)

    def full(source, target):
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space"):
        copy_sqlite(file, target)
    assert content(target) == (1, -1)
    assert [path.name for path in target.parent.iterdir()] == ["study.db"]


def test_a_file_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(sqlite3.OperationalError):
        copy_sqlite(tmp_path / "none.db", tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == []


def test_what_has_not_changed_is_not_copied_again(tmp_path):
    file, target = tmp_path / "study.db", tmp_path / "copy.db"
    make(file)
    copier = Copier(file, target)
    assert copier.copy()
    target.unlink()
    assert copier.copy()
    assert not target.exists()
    set_to(file, 1)
    assert copier.copy()
    assert content(target) == (1, -1)
    target.unlink()
    assert Copier(file, target).copy()  # another process of the node has copied it
    assert not target.exists()
    copier.forget()
    assert copier.copy()
    assert target.exists()


def test_failures_are_said_once_and_so_is_their_end(tmp_path, caplog):
    file, target = tmp_path / "study.db", tmp_path / "copy.db"
    make(file)
    target.mkdir()
    copier = Copier(file, target)
    assert not copier.copy()
    assert not copier.copy()
    target.rmdir()
    assert copier.copy()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "Is a directory" in said[0]
    assert "again" in said[1]


# What the next job goes on with


def beat(file, n_agents=1):
    """Agents of a run announce themselves: something has happened."""
    with closing(open_database(f"sqlite:///{file}")) as database:
        for number in range(n_agents):
            RunTable(database).register_agent(f"{time.time_ns()}-{number}", "run", 0, this_process())


def moved(file, by_s):
    """All that happened in a file has happened at another time."""
    with closing(open_database(f"sqlite:///{file}")) as database:
        change = f"UPDATE nano_agents SET heartbeat_s = heartbeat_s + ({by_s})"
        database.write(lambda c: c.execute(sa.text(change)))


@pytest.fixture
def local(tmp_path):
    file = tmp_path / "scratch" / "study.db"
    file.parent.mkdir()
    return file


@pytest.fixture
def copy(tmp_path):
    file = tmp_path / "run" / "study.db"
    file.parent.mkdir()
    return file


def test_without_any_file_a_job_begins_anew(local, copy):
    assert restore(local, copy) is None
    assert not local.exists()


def test_a_job_on_another_node_goes_on_with_the_copy(local, copy):
    beat(copy)
    kept = restore(local, copy)
    assert kept is not None
    assert kept.file == copy
    assert str(kept).startswith(f"{copy} of 20")
    assert str(kept).endswith(" UTC with 0 trials")
    assert kept_in(local).last_s == kept.last_s
    beat(local)  # it can be used as it is


def test_a_job_on_the_same_node_goes_on_with_what_the_copy_lacks(local, copy):
    beat(local)
    copy_sqlite(local, copy)
    assert restore(local, copy).file == local
    beat(local)
    assert restore(local, copy).file == local
    assert newest(local, copy).file == local
    assert [path.name for path in local.parent.iterdir()] == ["study.db"]


def test_a_file_that_was_overtaken_elsewhere_is_set_aside(local, copy):
    beat(local)
    copy_sqlite(local, copy)
    moved(copy, 100)
    kept = restore(local, copy)
    assert kept.file == copy
    assert kept_in(local).last_s == kept.last_s
    assert kept_in(local.with_name("study.db.aside-1")).last_s == pytest.approx(kept.last_s - 100)


@pytest.mark.parametrize("damage", [b"", b"not a database", b"SQLite format 3\0" + bytes(5000)])
def test_a_damaged_file_is_not_gone_on_with(local, copy, damage):
    beat(copy)
    moved(copy, -1000)
    local.write_bytes(damage)
    if not damage:  # an empty file is an empty database
        assert kept_in(local).last_s == 0
    else:
        assert kept_in(local) is None
    assert restore(local, copy).file == copy
    assert kept_in(local) is not None
    copy.write_bytes(damage or b"x")
    assert restore(local, copy).file == local


def test_the_log_of_a_file_that_is_set_aside_does_not_spoil_the_next(local, copy):
    beat(local)
    with closing(sqlite3.connect(local)) as held:
        held.execute("BEGIN")
        held.execute("SELECT * FROM nano_agents").fetchone()
        beat(local)
        copy_sqlite(local, copy)
        shutil.copyfile(f"{local}-wal", f"{local}.kept")
    local.write_bytes(b"not a database")
    shutil.copyfile(f"{local}.kept", f"{local}-wal")
    moved(copy, -1000)
    assert restore(local, copy).file == copy
    assert not local.with_name("study.db-wal").exists()
    assert local.with_name("study.db.aside-1-wal").exists()
    assert kept_in(local).last_s == kept_in(copy).last_s


def test_a_copy_that_is_still_in_use_is_taken_with_its_log(local, copy):
    """A run on one machine has kept its file in the run directory, and was killed."""
    beat(copy)
    with closing(sqlite3.connect(copy)) as held:
        held.execute("BEGIN")
        held.execute("SELECT * FROM nano_agents").fetchone()
        beat(copy, n_agents=3)
        assert restore(local, copy).file == copy
    with closing(sqlite3.connect(local)) as c:
        assert c.execute("SELECT COUNT(*) FROM nano_agents").fetchone() == (4,)
