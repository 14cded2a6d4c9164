"""A run whose SQLite file works on the node's own disk: nothing is lost with the node but a minute."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import stat
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from orchestrator import StorageError, search
from orchestrator.scratch import marker as marker_module
from orchestrator.scratch import place
from orchestrator.scratch.keeper import Keeper
from orchestrator.scratch.marker import Marker
from orchestrator.scratch.place import scratch_parent
from tests.orchestrator.conftest import CommandLine
from tests.orchestrator.waiting import wait_until

ONE = ("--draw", "none", "--json")
OTHER_HOST = {"host": "far-away", "boot_id": "b", "pid": 1, "start_s": 1.0}


@pytest.fixture
def node(cli: CommandLine) -> Path:
    """A disk of the node's own."""
    folder = cli.cwd / "node"
    folder.mkdir()
    cli.env["NODE"] = str(folder)
    return folder


def run_dir(cli: CommandLine, study: str) -> Path:
    return cli.cwd / "nano-hpo-runs" / study / "run-001"


def n_ended(file: Path) -> int:
    with closing(sqlite3.connect(file)) as c:
        assert c.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        ended = "SELECT COUNT(*) FROM trials WHERE state NOT IN ('RUNNING', 'WAITING')"
        return int(c.execute(ended).fetchone()[0])


def kill_all(process: subprocess.Popen[str]) -> None:
    """As the power goes: the agent and its workers in the same moment."""
    those = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for one in those:
        one.suspend()
    for one in those:
        one.kill()
    process.communicate()


def test_the_study_works_on_the_node_and_is_whole_in_the_run_directory(cli, node):
    cli.env["HELD"] = "2:go"
    process = cli.start("run", "job.py:held", "-n", 4, "--scratch", "$NODE", *ONE)
    wait_until((cli.cwd / "began-2").exists, process)
    home = run_dir(cli, "job-held")
    (file,) = node.glob("nano-hpo-study-*/study.db")
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert (home / "logs/rank0-slot0.log").is_symlink()
    assert n_ended(file) == 2
    assert n_ended(home / "study.db") == 0  # the copy of the beginning
    (cli.cwd / "go").touch()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert f"The study is at work in {file}, on this node" in err
    summary = json.loads(out)
    assert summary["storage"] == f"sqlite:///{home / 'study.db'}"
    assert json.loads((home / "run.json").read_text())["embedded"] == "study.db"
    assert n_ended(home / "study.db") == 4
    assert list(node.iterdir()) == []
    assert not (home / "logs/rank0-slot0.log").is_symlink()
    assert sorted(path.name for path in home.iterdir()) == [
        *("logs", "run.json", "study.db", "summary.json", "trials.csv", "trials.json")
    ]


def test_after_a_kill_the_same_node_goes_on_with_its_own_file(cli, node):
    cli.env["HELD"] = "3:go"
    words = ("run", "job.py:held", "-n", 6, "--scratch", node, *ONE)
    process = cli.start(*words)
    wait_until((cli.cwd / "began-3").exists, process)
    kill_all(process)
    (cli.cwd / "go").touch()
    done = cli(*words)
    assert done.code == 0, done.err
    assert "It goes on with what a launch has left on this node: " in done.err
    assert done.json["counts"] == {"COMPLETE": 6}
    assert n_ended(run_dir(cli, "job-held") / "study.db") == 6
    assert list(node.iterdir()) == []


def test_after_the_node_is_lost_another_one_goes_on_with_the_copy(cli, node):
    cli.env["HELD"] = "3:go"
    words = ("run", "job.py:held", "-n", 6, *ONE, "--scratch")
    process = cli.start(*words, node)
    wait_until((cli.cwd / "began-3").exists, process)
    kill_all(process)
    shutil.rmtree(node)
    home = run_dir(cli, "job-held")
    assert (home / "logs/rank0-slot0.log").is_symlink()
    (cli.cwd / "go").touch()
    done = cli(*words, cli.cwd / "other node")
    assert done.code == 0, done.err
    assert f"It goes on with {home / 'study.db'} of 20" in done.err
    assert done.json["counts"] == {"COMPLETE": 6}
    assert n_ended(home / "study.db") == 6
    assert "Traceback" not in done.err


def test_ranks_of_one_node_share_the_file_and_the_last_one_removes_it(cli, node):
    cli.env |= {
        "MEET": "2",
        "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
        "NANO_HPO_MPI": "no",
    }
    ranks = []
    for index in ("1", "0"):
        cli.env |= {"OMPI_COMM_WORLD_RANK": index, "OMPI_COMM_WORLD_LOCAL_RANK": index}
        ranks.append(cli.start("run", "job.py:meets", "-n", 8, "--scratch", node, "--oversubscribe", *ONE))
    said = [process.communicate(timeout=240) for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0], said
    summary = json.loads("".join(out for out, _ in said))
    assert sum(summary["counts"].values()) == 8
    assert sorted(slot["rank"] for slot in summary["slots"]) == [0, 1]
    assert n_ended(run_dir(cli, "job-meets") / "study.db") == 8
    assert list(node.iterdir()) == []


def test_a_node_lends_its_file_to_others_and_brings_it_home(cli, node):
    cli.env |= {
        "MEET": "2",
        "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_LOCAL_SIZE": "1",
        "NANO_HPO_MPI": "no",
    }
    ranks = []
    for index in ("1", "0"):
        cli.env |= {"OMPI_COMM_WORLD_RANK": index, "OMPI_COMM_WORLD_LOCAL_RANK": "0"}
        ranks.append(cli.start("run", "job.py:meets", "-n", 8, "--scratch", node, "--oversubscribe", *ONE))
    said = [process.communicate(timeout=240) for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0], said
    home = run_dir(cli, "job-meets")
    assert json.loads("".join(out for out, _ in said))["storage"] == f"sqlite:///{home / 'study.db'}"
    assert n_ended(home / "study.db") == 8
    assert list(node.iterdir()) == []


def test_what_cannot_be_brought_home_stays_and_is_named(cli, node):
    cli.env["HELD"] = "1:go"
    process = cli.start("run", "job.py:held", "-n", 2, "--scratch", node, *ONE)
    wait_until((cli.cwd / "began-1").exists, process)
    copy = run_dir(cli, "job-held") / "study.db"
    copy.unlink()
    (copy / "in the way").mkdir(parents=True)
    (cli.cwd / "go").touch()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    (file,) = node.glob("nano-hpo-study-*/study.db")
    assert f"The whole study is in {file} on this node" in err
    assert n_ended(file) == 2


@pytest.mark.parametrize(
    ("scratch", "said"),
    [
        ("$NO_SUCH_VARIABLE/x", "is '$NO_SUCH_VARIABLE/x', and that variable is not set on this node"),
        ("job.py", "job.py is not writable"),
        ("", "is '', and"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused(cli, scratch, said):
    done = cli("run", "job.py:empty", "-n", 1, "--scratch", scratch)
    assert done.code == 2
    assert said in done.err
    assert not (cli.cwd / "nano-hpo-runs").exists()


def test_a_search_in_python_goes_on_with_the_one_before(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"progress": False, "draw": "none", "run_dir": "here", "scratch": tmp_path / "node"}
    first = search(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2, **options)
    second = search(
        lambda trial: trial.suggest_float("x", 0, 1),
        n_trials=3,
        resume=first,
        **options | {"run_dir": "there"},
    )
    assert len(first.trials) == 2
    assert second.counts == {"COMPLETE": 5}
    assert n_ended(tmp_path / "here/study.db") == 5
    assert not (tmp_path / "there/study.db").exists()
    assert list((tmp_path / "node").iterdir()) == []


# Who is at work


def test_another_host_that_is_at_work_is_left_alone(tmp_path, monkeypatch):
    marker = Marker(tmp_path / ".study.db.at-work")
    monkeypatch.setattr(marker_module, "this_process", lambda: marker_module.HostProcess(**OTHER_HOST))
    monkeypatch.setattr(marker_module, "_LOOK_S", 0.01)
    marker.beat(Path("/far/study.db"))
    said = []

    def hear(line: str) -> None:
        said.append(line)
        marker.beat(Path("/far/study.db"))

    with pytest.raises(
        StorageError, match=r"is at work on far-away, on whose disk its study is \(/far/study.db\)"
    ):
        Marker(tmp_path / ".study.db.at-work").require_nobody_elsewhere(hear)
    assert len(said) == 1
    assert stat.S_IMODE((tmp_path / ".study.db.at-work").stat().st_mode) == 0o600


def test_a_host_that_stands_still_is_taken_for_lost(tmp_path, monkeypatch):
    marker = Marker(tmp_path / "m")
    monkeypatch.setattr(marker_module, "this_process", lambda: marker_module.HostProcess(**OTHER_HOST))
    monkeypatch.setattr(marker_module, "_LOOK_S", 0.01)
    monkeypatch.setattr(marker_module, "SILENCE_S", 0.1)
    marker.beat(Path("/far/study.db"))
    said: list[str] = []
    marker.require_nobody_elsewhere(said.append)
    assert "going on with the copy" in said[-1]


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"process": 1}'])
def test_no_marker_and_a_damaged_one_hold_nobody_up(tmp_path, text):
    if text is not None:
        (tmp_path / "m").write_text(text)
    Marker(tmp_path / "m").require_nobody_elsewhere(pytest.fail)


def test_a_marker_of_this_host_holds_nobody_up(tmp_path):
    Marker(tmp_path / "m").beat(tmp_path / "study.db")
    found = Marker(tmp_path / "m").read()
    assert found is not None
    assert (found.process.pid, found.process.host) == (os.getpid(), socket.gethostname())
    Marker(tmp_path / "m").require_nobody_elsewhere(pytest.fail)


def test_a_second_launch_is_refused_a_study_on_another_hosts_disk(cli, node):
    cli("run", "job.py:empty", "-n", 1, "--scratch", node, *ONE)
    marker = run_dir(cli, "job-empty") / ".study.db.at-work"
    process = cli.start(
        "run", "job.py:empty", "-n", 2, "--run-dir", marker.parent, "--resume", "--scratch", node
    )
    beats = 0
    while process.poll() is None:
        beats += 1
        said = json.dumps({"process": OTHER_HOST, "file": "/far/study.db", "beat": beats})
        marker.write_text(said)
        time.sleep(0.5)
    _, err = process.communicate()
    assert process.returncode == 2, err
    assert "is at work on far-away" in err


def test_one_keeper_at_a_time_and_another_takes_over(tmp_path):
    beats = [0, 0, 0]

    def keeper(number: int) -> Keeper:
        def beat() -> None:
            beats[number] += 1

        def copy() -> None:
            beats[2] += 1

        return Keeper(tmp_path / "keeper.lock", beat, copy, beat_s=0.01, every_s=0.05)

    first, second = keeper(0), keeper(1)
    wait_until(lambda: beats[0] > 3 and beats[2] > 0)
    assert beats[1] == 0
    first.close()
    wait_until(lambda: beats[1] > 3)
    second.close()


def test_scratch_is_asked_for_or_needed(tmp_path, monkeypatch):
    monkeypatch.setenv("HERE", str(tmp_path))
    assert scratch_parent(tmp_path, None) is None
    assert scratch_parent(tmp_path, "$HERE/x") == tmp_path / "x"
    near = tmp_path / "near"
    monkeypatch.setattr(tempfile, "tempdir", str(near))
    monkeypatch.setattr(place, "network_file_system", lambda path: None if path == near else "nfs4")
    assert scratch_parent(tmp_path / "far", None) == near
    monkeypatch.setattr(place, "network_file_system", lambda path: "nfs4")  # a node without a disk
    assert scratch_parent(tmp_path / "far", None) is None
