"""Ranks on several nodes share a database that rank 0 lends; many workers share a few connections."""

from __future__ import annotations

import json
import socket
import stat
import subprocess

import optuna
import psutil

from tests.orchestrator.waiting import wait_until

ONE = ("--draw", "none", "--json", "--oversubscribe")


def start_rank(cli, index: int, n_ranks: int, *words: object) -> subprocess.Popen[str]:
    """A rank on a node of its own, as mpirun without mpi4py would start it."""
    cli.env |= {"OMPI_COMM_WORLD_RANK": str(index), "OMPI_COMM_WORLD_SIZE": str(n_ranks)}
    cli.env |= {"OMPI_COMM_WORLD_LOCAL_RANK": "0", "OMPI_COMM_WORLD_LOCAL_SIZE": "1", "NANO_HPO_MPI": "no"}
    return cli.start(*words)


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return out


def is_running(process: psutil.Process) -> bool:
    """A zombie whose parent has gone does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_nodes_without_a_database_share_the_file_of_rank_0(cli):
    cli.env["MEET"] = "3"
    words = ("run", "job.py:meets", "-n", 12, *ONE)
    ranks = [start_rank(cli, index, 3, *words) for index in (2, 1, 0)]
    out = "".join(finish(process) for process in ranks)
    summary = json.loads(out)
    assert sum(summary["counts"].values()) == 12
    assert sorted(slot["rank"] for slot in summary["slots"]) == [0, 1, 2]
    run = cli.cwd / "nano-hpo-runs/job-meets/run-001"
    study = optuna.load_study(study_name="job-meets", storage=f"sqlite:///{run / 'study.db'}")
    assert sorted(trial.number for trial in study.trials) == list(range(12))
    assert not (run / "relay.json").exists()


def test_ranks_that_have_lost_rank_0_say_so_and_the_same_command_goes_on(cli):
    cli.env["HELD"] = "3:go"
    words = ("run", "job.py:held", "-n", 9, "--storage-patience", 2, *ONE)
    held = [cli.cwd / f"began-{number}" for number in (3, 4, 5)]

    def all_at_work() -> list[subprocess.Popen[str]]:
        ranks = [start_rank(cli, index, 3, *words) for index in range(3)]
        wait_until(lambda: all(file.exists() for file in held), *ranks)
        return ranks

    lender, *others = all_at_work()
    workers = [child for rank in (lender, *others) for child in psutil.Process(rank.pid).children(True)]
    lender.kill()
    for rank in others:  # in the midst of their trials
        _, err = rank.communicate(timeout=240)
        assert rank.returncode == 1, err
        (line,) = [line for line in err.splitlines() if "lost" in line]
        assert f"rank 0 on {socket.gethostname()}" in line
        assert "The same command goes on" in line
    wait_until(lambda: not any(map(is_running, workers)))

    for file in held:
        file.unlink()
    ranks = all_at_work()
    (cli.cwd / "go").touch()
    summary = json.loads("".join(map(finish, ranks)))
    assert summary["counts"] == {"COMPLETE": 9}
    assert [(run["state"], run["claimed"]) for run in summary["runs"]] == [("finished", 9)]


def test_rank_0_lends_a_named_database_as_a_proxy(cli, mariadb):
    url = mariadb.create_database()
    cli.env["MEET"] = "2"
    words = ("run", "job.py:meets", "-n", 8, "--study-name", "s", "--storage-proxy", *ONE, "--storage")
    first = start_rank(cli, 0, 2, *words, url)
    relay = cli.cwd / "nano-hpo-runs/s/run-001/relay.json"
    while not relay.exists():
        assert first.poll() is None
    assert stat.S_IMODE(relay.stat().st_mode) == 0o600
    second = start_rank(cli, 1, 2, *words, url)
    out = "".join(finish(process) for process in (first, second))
    summary = json.loads(out)
    assert sum(summary["counts"].values()) == 8
    assert sorted(slot["rank"] for slot in summary["slots"]) == [0, 1]


def test_workers_share_connections_where_the_server_has_few(cli, mariadb):
    url = mariadb.create_database()
    mariadb.execute("CREATE USER few@localhost IDENTIFIED BY '' WITH MAX_USER_CONNECTIONS 7")
    mariadb.execute("GRANT ALL ON *.* TO few@localhost")
    try:
        few = url.replace("root@", "few@")
        done = cli("run", "job.py:empty", "-n", 24, "-p", 6, "--study-name", "s", "--storage", few, *ONE)
    finally:
        mariadb.execute("DROP USER few@localhost")
    assert done.code == 0, done.err
    assert "7 connections would be more than half of the 7" in done.err
    assert done.json["counts"] == {"COMPLETE": 24}


def test_a_named_file_is_still_refused_to_several_nodes(cli):
    process = start_rank(cli, 0, 2, "run", "job.py:empty", "-n", 1, "--storage", "sqlite:///a.db")
    _, err = process.communicate(timeout=240)
    assert process.returncode == 2
    assert "cannot share the SQLite file" in err
