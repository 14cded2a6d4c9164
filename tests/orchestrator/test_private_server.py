"""``nano-hpo db`` and ``--storage auto:mysql``: a database server of one's own, without an administrator."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import psutil
import pytest
import sqlalchemy as sa

from launchers import Rank
from orchestrator import open_storage
from orchestrator.cli import db as db_verb
from orchestrator.cli.main import main
from orchestrator.errors import SpecError, StorageError
from orchestrator.server import automatic, control, process, programs
from orchestrator.server.address import Tcp, parse_tcp
from orchestrator.server.asking import ask
from orchestrator.server.files import ServerFiles
from orchestrator.server.grant import Grant, render_grant
from orchestrator.server.mask import mask_of_the_launcher
from orchestrator.server.programs import find_programs
from orchestrator.server.settings import buffer_pool_mib
from orchestrator.server.status import read_status
from orchestrator.server.usable import usable_url
from tests.orchestrator.conftest import CommandLine, Finished
from tests.orchestrator.waiting import wait_until

MySQLdb = pytest.importorskip("MySQLdb", reason="MariaDB: no driver")

pytestmark = pytest.mark.skipif(
    shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin") is None,
    reason="MariaDB is not installed",
)

LOCAL = "127.0.0.1:0"


class Servers:
    """``nano-hpo db …`` in a folder of a test, and the servers that it has started there."""

    def __init__(self, cli) -> None:
        self.cli = cli

    def __call__(self, verb: str, folder: object, *words: object) -> Finished:
        """In this process, which is quicker than a new one."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(["db", verb, str(self.cli.cwd / str(folder)), *map(str, words)])
        return Finished(code, out.getvalue(), err.getvalue())

    def started(self, folder: object, *words: object) -> psutil.Process:
        """Start the server in a folder; its process."""
        done = self("start", folder, *words)
        assert done.code == 0, done.err
        return psutil.Process(self.status(folder)["pid"])

    def files(self, folder: object) -> ServerFiles:
        return ServerFiles.at(self.cli.cwd / str(folder))

    def status(self, folder: object) -> dict:
        return read_status(self.files(folder)).as_json()

    def url(self, folder: object, database: str = "nano_hpo") -> str:
        return usable_url(self.files(folder), database)

    def end_all(self) -> None:
        for record in self.cli.cwd.rglob("server.json"):
            data = json.loads(record.read_text())
            end(data["process"]["pid"], data["process"]["start_s"])
            if Path(data["socket"]).parent != record.parent:
                shutil.rmtree(Path(data["socket"]).parent, ignore_errors=True)


def end(pid: int, start_s: float) -> None:
    """Kill the very process that was started then."""
    try:
        found = psutil.Process(pid)
        if abs(found.create_time() - start_s) < 2:
            found.kill()
            wait_until(lambda: not is_running(found))
    except psutil.NoSuchProcess:
        pass


@pytest.fixture
def db(cli) -> Iterator[Servers]:
    servers = Servers(cli)
    yield servers
    servers.end_all()


def is_running(server: psutil.Process) -> bool:
    """Whether a process of nobody's runs; a zombie waits for an init that takes its time."""
    try:
        return server.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def add_trials(url: str, n: int = 1) -> int:
    """Let plain Optuna add trials to a study; how many it then has."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(url)
    study = optuna.create_study(storage=storage, study_name="s", load_if_exists=True)
    study.optimize(lambda trial: trial.suggest_float("P", 0, 1) + trial.suggest_float("p", 0, 1), n_trials=n)
    found = len(study.trials)
    storage.engine.dispose()
    return found


def add_row(url: str) -> int:
    """Store one thing more in a database; how many are there then."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS things (i INT)")
        connection.exec_driver_sql("INSERT INTO things VALUES (1)")
        count = connection.exec_driver_sql("SELECT COUNT(*) FROM things").scalar_one()
    engine.dispose()
    return int(count)


def count_trials(url: str) -> int:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        count = connection.exec_driver_sql(
            "SELECT COUNT(*) FROM trials WHERE state = 'COMPLETE'"
        ).scalar_one()
    engine.dispose()
    return int(count)


# Starting and stopping


def test_a_second_start_finds_the_server_and_a_stop_ends_it(db):
    server = db.started("d")
    again = db("start", "d")
    assert again.code == 0
    assert "it was running" in again.out
    assert db.status("d")["pid"] == server.pid
    assert "has ended" in db("stop", "d").out
    assert not is_running(server)
    stopped = db("stop", "d")
    assert (stopped.code, "is not running" in stopped.out) == (0, True)
    assert db("status", "d").code == 1


def test_a_verb_that_finds_the_server_ended_says_how_it_starts(db, capsys):
    db.started("d")
    url = db("url", "d").out.strip()
    db("stop", "d")
    capsys.readouterr()
    assert main(["studies", "--storage", url]) == 2
    assert "Its server does not run here: nano-hpo db start" in capsys.readouterr().err


def test_a_killed_server_starts_again_with_its_data(db):
    server = db.started("d")
    url = db.url("d")
    assert add_row(url) == 1
    server.kill()
    wait_until(lambda: not is_running(server))
    assert not db.status("d")["running"]
    assert db.started("d").pid != server.pid
    assert db.url("d") == url
    assert add_row(url) == 2


def test_starts_at_once_give_one_server(db):
    starts = [db.cli.start("db", "start", "d") for _ in range(3)]
    outputs = [start.communicate(timeout=240) for start in starts]
    assert [start.returncode for start in starts] == [0, 0, 0], outputs
    assert sum("it was running" in out for out, _ in outputs) == 2
    data = db.cli.cwd / "d" / "data"
    serving = [
        p for p in psutil.process_iter(["cmdline"]) if f"--datadir={data}" in (p.info["cmdline"] or [])
    ]
    assert len(serving) == 1


def test_the_server_belongs_to_no_shell(db):
    server = db.started("d")
    assert os.getsid(server.pid) not in (0, os.getsid(0), server.ppid())
    assert os.getpgid(server.pid) != os.getpgid(0)
    assert server.terminal() is None


def test_a_start_that_was_cut_off_while_it_made_the_data_is_completed(db):
    db.started("d")
    db("stop", "d")
    folder = db.cli.cwd / "d"
    (folder / "data").rename(folder / "data.new")  # as it lay there before it was complete
    (folder / "data.new" / "ibdata1").write_bytes(b"half")
    (folder / "server.json").unlink()
    db.started("d")
    assert add_row(db.url("d")) == 1


def test_passwords_that_were_lost_are_made_again(db):
    server = db.started("d")
    folder = db.cli.cwd / "d"
    before = (folder / "client.cnf").read_text()
    (folder / "admin.cnf").unlink()
    (folder / "client.cnf").unlink()
    assert db("url", "d").code == 2
    db("stop", "d")
    assert not is_running(server)
    db.started("d")
    assert (folder / "client.cnf").read_text() != before
    assert add_row(db.url("d")) == 1


def test_a_server_that_does_not_come_up_says_why_in_a_line(db):
    db.started("d")
    db("stop", "d")
    with (db.cli.cwd / "d" / "server.cnf").open("a") as file:
        file.write("no_such_setting = 1\n")
    done = db("start", "d")
    (line,) = done.err.strip().splitlines()
    assert done.code == 2
    assert "no_such_setting" in line
    assert "server.log" in line


@pytest.mark.parametrize("name", ['it\'s "a # folder" %41 {ü}', "long" * 40], ids=["odd", "long"])
def test_any_path_does(db, name):
    db.started(name)
    url = db.url(name)
    assert open_storage(url).get_all_studies() == []
    link = Path(db.status(name)["socket"]).parent
    assert "has ended" in db("stop", name).out
    assert link == db.cli.cwd / name or not link.exists()


def test_on_a_network_file_system_it_warns_and_keeps_its_socket_on_this_machine(db, monkeypatch):
    for module in (control, process):
        monkeypatch.setattr(module, "network_file_system", lambda path: "nfs4")
    done = db("start", "d")
    assert (done.code, "is on nfs4" in done.err) == (0, True)
    assert Path(db.status("d")["socket"]).parent != db.cli.cwd / "d"
    assert add_row(db.url("d")) == 1


def test_a_folder_that_holds_something_else_is_left_alone(db):
    before = sorted(db.cli.cwd.iterdir())
    done = db("start", ".")
    assert (done.code, "holds other files" in done.err) == (2, True)
    assert sorted(db.cli.cwd.iterdir()) == before


def test_a_folder_without_a_server_says_how_to_begin_one(db):
    for verb in ("url", "status", "stop"):
        done = db(verb, "nothing here")
        assert done.code == 2
        assert f"nano-hpo db start '{db.cli.cwd}/nothing here'" in done.err


# Whose a folder is


@pytest.mark.parametrize("mode", [0o775, 0o707, 0o1777], ids=oct)
def test_a_folder_that_others_can_write_holds_no_server(db, mode):
    folder = db.cli.cwd / "d"
    folder.mkdir()
    folder.chmod(mode)
    (folder / "server.cnf").write_text("[mysqld]\n")  # as it could have been planted
    for verb in ("start", "url", "status", "stop"):
        done = db(verb, "d")
        (line,) = done.err.splitlines()
        assert (done.code, f"chmod go-w {shlex.quote(str(folder))}" in line) == (2, True)
    assert [path.name for path in folder.iterdir()] == ["server.cnf"]


@pytest.mark.parametrize("given", ["d", "d/server.cnf"])
def test_what_belongs_to_somebody_else_is_left_alone(db, given):
    if os.geteuid() != 0:  # only root can give a folder away
        assert "belongs to root" in db("start", "/usr").err
        return
    folder = db.cli.cwd / "d"
    folder.mkdir(0o700)
    (folder / "server.cnf").write_text("[mysqld]\n")
    os.chown(db.cli.cwd / given, 54321, 54321)
    (db.cli.cwd / "link").symlink_to(folder)
    for name in ("d", "link"):
        done = db("start", name)
        (line,) = done.err.splitlines()
        assert (done.code, f"{db.cli.cwd / given} belongs to user 54321" in line) == (2, True)
    assert [path.name for path in folder.iterdir()] == ["server.cnf"]


def test_a_folder_of_ours_that_others_can_only_read_will_do(db):
    (db.cli.cwd / "d").mkdir(0o755)
    db.files("d").create()


def test_a_rank_believes_no_password_file_in_a_folder_that_others_can_write(db):
    folder = db.cli.cwd / "nano-hpo-runs" / "mysql"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    (folder / "client.cnf").write_text("[client]\nsocket = nowhere\n")
    with pytest.raises(StorageError, match="can be written by others"):
        automatic.attend(f"auto:mysql:{folder}", Rank(1, 2, 0, 1, "openmpi"), print)


# On which CPUs it runs


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="mpirun is not installed")
def test_a_server_is_not_bound_to_the_core_of_the_rank_that_starts_it(db):
    mpirun = ["mpirun", "--bind-to", "core:overload-allowed", "-n", "1"]
    allow = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    command = [*mpirun, *db.cli.argv("db", "start", "d")]
    done = subprocess.run(command, cwd=db.cli.cwd, env=db.cli.env | allow, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(psutil.Process(db.status("d")["pid"]).cpu_affinity()) == os.sched_getaffinity(0)


def test_a_mask_that_no_mpi_has_set_is_kept():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        with mask_of_the_launcher():
            assert os.sched_getaffinity(0) == {min(before)}
    finally:
        os.sched_setaffinity(0, before)


# Without a server program


def test_without_a_server_program_it_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(programs, "search_folders", lambda: [])
    assert main(["db", "start", str(tmp_path / "d")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert all(word in line for word in ("apt install", "dnf install", "conda install", "module avail"))
    assert not (tmp_path / "d").exists()


def test_servers_are_found_beside_the_path(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert find_programs().server.name in programs.SERVERS


def test_a_server_without_its_installer_is_named(tmp_path):
    (tmp_path / "mariadbd").write_text("#!/bin/sh\necho mariadbd  Ver 11.4.2-MariaDB for Linux\n")
    (tmp_path / "mariadbd").chmod(0o755)
    with pytest.raises(StorageError, match="mariadbd is there, but not mariadb-install-db"):
        find_programs([tmp_path])


MYSQL = """#!/bin/sh
# MySQL's server as nano-hpo sees it: it says so, and makes its data directory itself.
for word; do case "$word" in
  --version) echo "mysqld  Ver 8.0.39 for Linux on x86_64 (MySQL Community Server - GPL)"; exit;;
  --datadir=*) data="$word";;
  --user=*) user="$word";;
  --initialize-insecure) exec mariadb-install-db --no-defaults $user "$data" --skip-test-db \
      --auth-root-authentication-method=normal;;
esac; done
exec {mariadbd} "$@"
"""


def test_mysql_makes_its_data_itself_and_data_of_another_kind_is_refused(db, tmp_path, monkeypatch):
    fake = tmp_path / "bin" / "mysqld"
    fake.parent.mkdir()
    fake.write_text(MYSQL.replace("{mariadbd}", str(find_programs().server)))
    fake.chmod(0o755)
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", f"{fake.parent}:{path}")
    db.started("d")
    assert db.status("d")["product"] == "MySQL 8.0.39"
    assert add_row(db.url("d")) == 1
    db("stop", "d")
    monkeypatch.setenv("PATH", path)
    done = db("start", "d")
    assert (done.code, "put a server of MySQL first on the PATH" in done.err) == (2, True)


# Secrets, settings, addresses


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Iterator[Servers]:
    """A server in the folder ``d``, with TCP, which tests leave as it is; its user's umask hides nothing."""
    servers = Servers(CommandLine(tmp_path_factory.mktemp("shared")))
    before = os.umask(0)
    try:
        servers.started("d", "--tcp", LOCAL)
        yield servers
    finally:
        os.umask(before)
        servers.end_all()


def password_in(file: Path) -> str:
    return file.read_text().partition('password = "')[2].partition('"')[0]


def test_passwords_stand_in_files_of_their_owner_alone(shared):
    folder = shared.cli.cwd / "d"
    passwords = [password_in(folder / name) for name in ("admin.cnf", "client.cnf")]
    assert len({password for password in passwords if len(password) > 20}) == 2
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    own = [path for path in folder.iterdir() if path.is_file()]
    holders = {path.name for path in own if any(password in path.read_text() for password in passwords)}
    assert holders == {"admin.cnf", "client.cnf"}
    assert {stat.S_IMODE((folder / name).stat().st_mode) for name in holders} == {0o600}
    said = shared("status", "d").out + shared("start", "d").out + shared("url", "d").out
    said += " ".join(psutil.Process(shared.status("d")["pid"]).cmdline())
    assert not any(password in said for password in passwords)


def test_the_status_says_what_is_there(shared):
    done = shared("status", "d", "--json")
    assert done.code == 0
    assert done.json["running"]
    assert done.json["url"] == shared("url", "d").out.strip()
    assert f"process {done.json['pid']}" in shared("status", "d").out


def test_json_of_a_server_has_the_keys_that_the_help_names(shared):
    found = shared("status", "d", "--json").json
    assert set(re.findall(r'"(\w+)"', db_verb._STATUS_JSON)) == set(found)
    again = shared("start", "d", "--json").json
    assert list(again) == [*found, "was_running"]
    assert (again["was_running"], again["pid"], again["url"]) == (True, found["pid"], found["url"])
    assert shared("url", "d", "--json").json == {
        "folder": found["folder"],
        "database": "nano_hpo",
        "url": found["url"],
    }


def test_json_of_a_stop_is_what_is_left(db):
    begun = db("start", "d", "--json")
    assert (begun.json["running"], begun.json["was_running"]) == (True, False), begun.err
    for was_running in (True, False):
        ended = db("stop", "d", "--json").json
        assert list(ended) == ["folder", "running", "disk_mib", "was_running"]
        assert (ended["running"], ended["was_running"]) == (False, was_running)


def test_the_account_of_searches_has_its_databases_alone(shared):
    engine = sa.create_engine(shared.url("d"))
    with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError, match="denied"):
        connection.exec_driver_sql("SELECT * FROM mysql.global_priv")
    engine.dispose()


NAMES = ("root", "nano_hpo", "mysql", "mariadb.sys", "mysql.sys", "no such user")  # the last is anonymous


@pytest.mark.parametrize("name", NAMES)
def test_nobody_logs_in_without_a_password(shared, name):
    status = shared.status("d")
    host, _, port = status["tcp"].rpartition(":")
    for place in ({"host": host, "port": int(port)}, {"unix_socket": status["socket"]}):
        with pytest.raises(MySQLdb.OperationalError) as refused:
            MySQLdb.connect(user=name, password="", **place)
        assert refused.value.args[0] in NOT_LET_IN


NOT_LET_IN = {1045, 1698, 3118, 4151}  # a wrong password, or none; a locked account (MySQL, MariaDB)


def accounts(files: ServerFiles) -> set[str]:
    """Who may log in, but for the locked accounts that own the server's own views."""
    query = "SELECT CONCAT(User, '@', Host) FROM mysql.user"
    found = ask(files.admin, lambda connection: set(connection.exec_driver_sql(query).scalars()))
    return found - {"mariadb.sys@localhost", "mysql.sys@localhost", "mysql.session@localhost"}


def test_it_has_an_administrator_on_this_machine_and_an_account_for_searches(shared):
    assert accounts(shared.files("d")) == {"root@localhost", "nano_hpo@%"}


def test_a_start_closes_data_that_were_left_open_and_keeps_accounts_of_its_owner(db):
    db.started("d")
    files = db.files("d")
    for account in (
        "root@'::1'",
        "root@'127.0.0.1'",
        "root@`a-b.example`",
        "''@localhost",
        "colleague@node7",
    ):
        ask(files.admin, lambda connection, who=account: connection.exec_driver_sql(f"CREATE USER {who}"))
    db("stop", "d")
    db.started("d", "--tcp", LOCAL)
    assert accounts(files) == {"root@localhost", "nano_hpo@%", "colleague@node7"}


@pytest.mark.parametrize("statements", [(), ("NO SUCH STATEMENT",)], ids=["left out", "wrong"])
def test_a_server_that_stays_open_is_ended(db, monkeypatch, statements):
    monkeypatch.setattr("orchestrator.server.accounts._DROP_OPEN_ACCOUNTS", statements)
    done = db("start", "d", "--tcp", LOCAL)
    errors = [line for line in done.err.splitlines() if "Warning" not in line]
    assert (done.code, len(errors)) == (2, 1)
    assert "server.log" in errors[0]
    assert db("status", "d").code == 1
    monkeypatch.undo()
    db.started("d", "--tcp", LOCAL)


def test_names_in_its_databases_are_compared_exactly(shared):
    url = shared.url("d", "my-db_2")
    assert add_trials(url) == 1
    (params,) = [trial.params for trial in optuna.load_study(study_name="s", storage=url).trials]
    assert set(params) == {"P", "p"}
    status = shared.status("d")
    assert status["studies"]["my-db_2"] == 1
    assert status["max_connections"] == 1000


@pytest.mark.parametrize("name", ["", "a b", "a`; DROP DATABASE mysql", "x" * 65])
def test_a_database_name_that_needs_quoting_is_refused(shared, name):
    done = shared("url", "d", "--database", name)
    assert (done.code, len(done.err.splitlines())) == (2, 1)


def test_it_listens_where_it_was_asked_to_and_nowhere_else(shared):
    listening = {c.laddr[0] for c in psutil.Process(shared.status("d")["pid"]).net_connections("inet")}
    assert listening == {"127.0.0.1"}


def test_a_server_without_tcp_is_not_taken_for_one_with_it(db):
    server = db.started("d")
    assert not server.net_connections("inet")
    done = db("start", "d", "--tcp", LOCAL)
    assert (done.code, "nano-hpo db stop" in done.err) == (2, True)


def test_an_address_that_others_cannot_reach_is_pointed_out(db):
    assert "address of this machine alone" in db("start", "d", "--tcp", LOCAL).err


def test_the_url_stays_when_the_port_moves(db):
    db.started("d", "--tcp", LOCAL)
    url, address = db.url("d"), db.status("d")["tcp"]
    assert add_row(url) == 1
    db("stop", "d")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", int(address.rpartition(":")[2])))
        taken.listen()
        db.started("d", "--tcp", LOCAL)
    assert db.status("d")["tcp"] != address
    assert db.url("d") == url
    assert add_row(url) == 2


def test_a_port_of_somebody_else_is_named(db):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = db("start", "d", "--tcp", f"127.0.0.1:{taken.getsockname()[1]}")
    assert (done.code, "could not have its port" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("text", "tcp"),
    [
        ("127.0.0.1:3307", Tcp("127.0.0.1", 3307)),
        ("localhost", Tcp("localhost", 0)),
        ("localhost:", Tcp("localhost", 0)),
        ("0.0.0.0:0", Tcp("0.0.0.0", 0)),
    ],
)
def test_an_address_is_a_host_and_a_port(text, tcp):
    assert parse_tcp(text) == tcp


def test_a_port_alone_is_on_this_machines_address():
    assert parse_tcp("3307").port == 3307
    assert parse_tcp("3307").host not in ("", "0.0.0.0")


@pytest.mark.parametrize(
    "text", ["", "a:b", "127.0.0.1:99999", "1:2:3", "192.0.2.77:0", "no.such.host.invalid:0"]
)
def test_what_is_no_address_here_is_refused(text):
    with pytest.raises(SpecError, match="--tcp"):
        parse_tcp(text)


def test_memory_for_pages_is_a_small_part_of_what_is_free():
    assert [buffer_pool_mib(gib * 1024**3) for gib in (0, 4, 1000)] == [64, 256, 512]


# What to ask of an administrator


def account_on(mariadb, grant: Grant) -> str:
    """Let the administrator of a server run the SQL; the URL of the account."""
    client = shutil.which("mariadb") or shutil.which("mysql")
    assert client is not None
    subprocess.run(
        [client, "--no-defaults", f"--socket={mariadb.socket}", "--user=root"],
        input=render_grant(grant),
        text=True,
        check=True,
    )
    return (
        f"mysql://{grant.user}:CHANGE_THIS_PASSWORD@localhost/{grant.database}?unix_socket={mariadb.socket}"
    )


def test_the_sql_for_an_administrator_makes_an_account_that_can_search(cli, mariadb):
    url = account_on(mariadb, Grant("team-db_1", "ann", "localhost"))
    done = cli("run", "job.py:quadratic", "-n", 3, "--storage", url, "--study-name", "s", "--draw", "none")
    assert done.code == 0, done.err
    assert "Warning" not in done.err
    assert add_trials(url) == 4


def test_without_rights_to_create_it_can_use_what_a_colleague_has_made(mariadb):
    colleague = account_on(mariadb, Grant("shared_db", "bob", "localhost"))
    assert add_trials(colleague) == 1
    url = account_on(mariadb, Grant("shared_db", "eve", "localhost", makes_tables=False))
    storage = open_storage(colleague)  # makes our own tables
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("UPDATE trials SET number = number").rowcount >= 0
        with pytest.raises(sa.exc.DBAPIError, match="denied"):
            connection.exec_driver_sql("CREATE TABLE t (i INT)")
    engine.dispose()
    assert storage.get_all_studies()


def test_the_command_prints_the_sql_for_the_names_given(cli):
    done = cli(
        "db", "grant", "--database", "d1", "--user", "u1", "--host", "10.1.%", "--create-rights", "none"
    )
    assert done.out == render_grant(Grant("d1", "u1", "10.1.%", makes_tables=False))
    assert "'u1'@'10.1.%'" in done.out


@pytest.mark.parametrize("field", ["database", "user", "host"])
def test_names_that_could_end_a_quotation_are_refused(field):
    for name in ("", "a'b", "a`b", "a\\b", "a\nb"):
        with pytest.raises(SpecError, match=f"--{field}"):
            Grant(**{field: name})


# A run's own server

AUTO = ("--storage", "auto:mysql", "--draw", "none")


def served(cli) -> bool:
    return read_status(ServerFiles.at(cli.cwd / "nano-hpo-runs" / "mysql")).serving is not None


def test_a_run_has_a_server_of_its_own_while_it_lasts(db):
    words = (
        "run",
        "job.py:two",
        "--direction",
        "minimize",
        "--direction",
        "maximize",
        "-n",
        6,
        "-p",
        2,
        "--oversubscribe",
        "--study-name",
        "s",
        *AUTO,
    )
    first = db.cli(*words)
    assert first.code == 0, first.err
    assert "nano-hpo db start" in first.err
    assert "was stopped; its data stays" in first.err
    assert not served(db.cli)
    refused = db.cli(*words)  # the study is there
    assert (refused.code, "--resume" in refused.err) == (2, True)
    more = db.cli(*words, "--resume")
    assert more.code == 0, more.err
    assert not served(db.cli)
    db.started("nano-hpo-runs/mysql")
    assert count_trials(db.url("nano-hpo-runs/mysql")) == 12


def test_a_run_that_was_interrupted_is_finished_by_the_same_command(db):
    words = ("run", "job.py:held", "-n", 3, "--study-name", "s", "--grace", 0, *AUTO)
    run = db.cli.start(*words)
    wait_until((db.cli.cwd / "began-0").exists)
    run.send_signal(signal.SIGINT)
    said = run.communicate(timeout=240)[1]
    assert run.returncode == 130, said
    assert "was stopped" in said
    (db.cli.cwd / "go").touch()
    done = db.cli(*words)
    assert done.code == 0, done.err
    db.started("nano-hpo-runs/mysql")
    assert count_trials(db.url("nano-hpo-runs/mysql")) == 3


def test_the_last_run_that_leaves_stops_the_server_that_runs_share(db):
    held = db.cli.start("run", "job.py:held", "-n", 1, "--study-name", "held", *AUTO)
    wait_until((db.cli.cwd / "began-0").exists)
    quick = db.cli("run", "job.py:empty", "-n", 2, "--study-name", "quick", *AUTO)
    assert quick.code == 0, quick.err
    assert "is left to others that use it" in quick.err
    assert served(db.cli)
    (db.cli.cwd / "go").touch()
    assert "was stopped" in held.communicate(timeout=240)[1]
    assert not served(db.cli)


def test_a_server_stays_while_somebody_is_connected_or_when_somebody_has_started_it(db):
    folder = "nano-hpo-runs/mysql"
    held = db.cli.start("run", "job.py:held", "-n", 1, "--study-name", "held", *AUTO)
    wait_until((db.cli.cwd / "began-0").exists)
    engine = sa.create_engine(db.url(folder))
    with engine.connect():
        (db.cli.cwd / "go").touch()
        assert "stays for 1 more that are connected" in held.communicate(timeout=240)[1]
    engine.dispose()
    assert "it was running" in db("start", folder).out  # now it is not the runs' any more
    run = db.cli("run", "job.py:empty", "-n", 1, "--study-name", "other", *AUTO)
    assert "was not started by a run and stays" in run.err
    assert served(db.cli)


TWICE = """
from orchestrator import search
for name in ("a", "b"):
    summary = search("job.py:empty", n_trials=2, storage="auto:mysql:own", study_name=name, draw="none")
    print(len(summary.trials_dataframe()))
"""


def test_from_python_it_is_there_until_the_process_ends(db):
    done = subprocess.run(
        [sys.executable, "-c", TWICE], cwd=db.cli.cwd, env=db.cli.env, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "2\n2\n"), done.stderr
    assert done.stderr.count("Storage: a private") == 1
    assert done.stderr.count("was stopped") == 1
    assert not db.status("own")["running"]


def test_ranks_on_several_machines_reach_it_over_tcp(db):
    """Two ranks, each alone on its machine as their launcher tells it; rank 1 comes first."""
    words = ("run", "job.py:meets", "-n", 4, "--study-name", "s", "--oversubscribe", *AUTO)
    world = {"SIZE": "2", "LOCAL_SIZE": "1", "LOCAL_RANK": "0"}
    db.cli.env |= {f"OMPI_COMM_WORLD_{name}": value for name, value in world.items()} | {"MEET": "2"}
    ranks = []
    for rank in ("1", "0"):
        db.cli.env["OMPI_COMM_WORLD_RANK"] = rank
        ranks.append(db.cli.start(*words))
    said = [rank.communicate(timeout=240) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], said
    assert "host = " in (db.cli.cwd / "nano-hpo-runs" / "mysql" / "client.cnf").read_text()
    for name in world:
        del db.cli.env[f"OMPI_COMM_WORLD_{name}"]
    del db.cli.env["OMPI_COMM_WORLD_RANK"]
    assert not served(db.cli)


def test_a_rank_that_waits_for_a_server_knows_when_its_time_is_over(db):
    db.started("d")
    files = db.files("d")
    assert not automatic._is_over(files, since_s=0)
    db("stop", "d")
    assert automatic._is_over(files, since_s=0)
    assert not automatic._is_over(files, since_s=time.time())


def test_an_automatic_storage_is_for_runs_and_an_empty_one_for_nothing(cli):
    report = cli("report", "--storage", "auto:mysql")
    assert (report.code, "nano-hpo db start" in report.err) == (2, True)
    empty = cli("run", "job.py:empty", "-n", 1, "--storage", "")
    assert (empty.code, "empty" in empty.err) == (2, True)
