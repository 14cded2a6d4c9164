"""``nano-hpo dashboard`` serves the studies of a storage to browsers, and keeps the password to itself."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from urllib.request import urlopen

import optuna
import psutil
import pytest

from tests.orchestrator.test_foreign_servers import account

optuna.logging.set_verbosity(optuna.logging.WARNING)


def make_study(url: str, name: str) -> int:
    """Of plain Optuna: there are no tables of ours."""
    study = optuna.create_study(storage=url, study_name=name)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    return study._study_id


def address_of(process) -> str:
    """What it says first."""
    name, _, address = process.stdout.readline().strip().partition(":  ")
    assert name == "Dashboard", (address, process.stderr.read())
    return address


def fetch(address: str, path: str):
    with urlopen(f"{address.partition('/dashboard')[0]}{path}", timeout=60) as answer:
        return json.load(answer)


def ended(process) -> tuple[int, str]:
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return process.returncode, out + err


def test_studies_of_plain_optuna_and_of_runs_are_served_until_ctrl_c(cli, storage_url):
    number = make_study(storage_url, "plain")
    done = cli("run", "job.py:quadratic", "-n", 2, "--storage", storage_url, "--study-name", "ours")
    assert done.code == 0, done.err
    process = cli.start("dashboard", "--storage", storage_url, "--study-name", "plain", "--port", 0)
    address = address_of(process)
    assert address.startswith("http://127.0.0.1:")
    assert address.endswith(f"/dashboard/studies/{number}")
    with urlopen(address, timeout=60) as page:
        assert b"<html" in page.read().lower()
    found = fetch(address, "/api/studies")["study_summaries"]
    assert {one["study_name"] for one in found} == {"plain", "ours"}
    for one in found:
        study = fetch(address, f"/api/studies/{one['study_id']}?after=0")
        assert len(study["trials"]) == (3 if one["study_name"] == "plain" else 2)
        assert study["trials"][0]["state"] == "Complete"
        assert study["trials"][0]["params"][0]["name"] in ("x", "kind")
    port = int(address.split(":")[2].partition("/")[0])
    assert ended(process)[0] == 0
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_program_reads_its_address_from_one_line(cli):
    url = f"sqlite:///{cli.cwd}/study.db"
    number = make_study(url, "plain")
    process = cli.start("dashboard", "--storage", url, "--study-name", "plain", "--port", 0, "--json")
    said = json.loads(process.stdout.readline())
    assert said == {
        "url": f"http://127.0.0.1:{said['port']}/dashboard/studies/{number}",
        "host": "127.0.0.1",
        "port": said["port"],
        "study": "plain",
    }
    assert len(fetch(said["url"], "/api/studies")["study_summaries"]) == 1
    assert ended(process)[0] == 0


def test_what_runs_meanwhile_appears(cli):
    url = f"sqlite:///{cli.cwd}/study.db"
    make_study(url, "plain")
    process = cli.start("dashboard", "--storage", url, "--port", 0)
    address = address_of(process)
    assert len(fetch(address, "/api/studies")["study_summaries"]) == 1
    make_study(url, "second")
    assert {one["study_name"] for one in fetch(address, "/api/studies")["study_summaries"]} == {
        "plain",
        "second",
    }
    assert ended(process)[0] == 0


def test_the_password_is_in_no_argument_and_no_output(cli, mariadb):
    url = mariadb.create_database()
    make_study(url, "plain")
    cli.env["NANO_HPO_STORAGE"] = account(mariadb, url, "ALL", "s3cr3t")
    process = cli.start("dashboard", "--port", 0)
    address = address_of(process)
    assert fetch(address, "/api/studies")["study_summaries"][0]["study_name"] == "plain"
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    assert not any("s3cr3t" in word for one in family for word in one.cmdline())
    code, said = ended(process)
    assert code == 0
    assert "s3cr3t" not in said


def test_a_way_through_ssh_is_shown_and_who_can_come_elsewhere(cli):
    url = f"sqlite:///{cli.cwd}/study.db"
    make_study(url, "plain")
    for host, said in (("127.0.0.1", "ssh -N -L {0}:127.0.0.1:{0} "), ("0.0.0.0", "no password is asked")):
        process = cli.start("dashboard", "--storage", url, "--port", 0, "--host", host)
        address = address_of(process)
        assert address.startswith("http://127.0.0.1:")
        assert said.format(address.split(":")[2].partition("/")[0]) in process.stdout.readline()
        assert fetch(address, "/api/studies")  # it is at work, and ends in order
        assert ended(process)[0] == 0


def test_a_port_that_is_taken_is_one_line(cli):
    url = f"sqlite:///{cli.cwd}/study.db"
    make_study(url, "plain")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = cli("dashboard", "--storage", url, "--port", port)
    assert done.code == 2
    assert f"Port {port} of 127.0.0.1 cannot be listened on (Address already in use)" in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Name the storage"),
        (("--storage", "sqlite:///none.db"), "There is no file"),
        (("--storage", "sqlite:///empty.db"), "holds no study yet"),
        (("--storage", "sqlite:///study.db", "--study-name", "other"), "There is no study 'other'"),
        (("--storage", "sqlite:///study.db", "--port", 70000), "from 0 (any free one) to 65535"),
        (("--storage", "sqlite:///study.db", "--host", "nowhere.invalid"), "cannot be listened on"),
        (("--storage", "auto:mysql"), "nano-hpo db start"),
    ],
)
def test_what_cannot_be_served_is_one_line_and_exit_code_2(cli, words, said):
    make_study(f"sqlite:///{cli.cwd}/study.db", "plain")
    Path(cli.cwd / "empty.db").touch()
    done = cli("dashboard", *words)
    assert done.code == 2, done
    assert said in done.err
    assert len(done.err.splitlines()) == 1


def test_without_the_package_the_way_to_it_is_said(cli):
    make_study(f"sqlite:///{cli.cwd}/study.db", "plain")
    (cli.cwd / "sitecustomize.py").write_text("import sys\nsys.modules['optuna_dashboard'] = None\n")
    cli.env["PYTHONPATH"] = str(cli.cwd)
    done = cli("dashboard", "--storage", "sqlite:///study.db")
    assert done.code == 2
    assert "pip install optuna-dashboard" in done.err
    assert len(done.err.splitlines()) == 1
