"""Ranks on several nodes share a database that rank 0 lends; many workers share a few connections."""

from __future__ import annotations

import json
import stat
import subprocess

import optuna

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
