"""``--server PATH``: a private server by a program that is neither on the PATH nor where systems keep it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from launchers import Rank
from orchestrator.cli.main import main
from orchestrator.errors import SpecError, StorageError
from orchestrator.server import automatic, control, programs
from orchestrator.server.choice import chosen_server, server_for
from orchestrator.server.files import ServerFiles
from orchestrator.server.programs import Programs, find_programs, named_programs
from orchestrator.server.record import read_record
from orchestrator.spec import RunSpec
from tests.conftest import program

pytest.importorskip("MySQLdb", reason="MariaDB: no driver")
pytestmark = pytest.mark.skipif(
    shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin") is None,
    reason="MariaDB is not installed",
)

EXEC = '#!/bin/sh\nexec {program} "$@"\n'
CHILD = '#!/bin/sh\n{program} "$@"\necho ended\n'  # the script stays, and the server is its child


@pytest.fixture
def no_server_around(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which no server would be found by itself."""
    monkeypatch.setattr(programs, "search_folders", lambda: [])


@pytest.fixture
def files(tmp_path: Path) -> Iterator[ServerFiles]:
    files = ServerFiles.at(tmp_path / "d")
    yield files
    record = read_record(files)
    if record is not None and record.is_alive_here():
        control.stop(files)


def prefix_with(folder: Path, where: str = "sbin", script: str = EXEC) -> Path:
    """A prefix that has the system's server in it, by scripts, and its tools in ``bin``."""
    for name, place in (("mariadbd", where), ("mariadb-install-db", "bin")):
        path = folder / place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((script if name == "mariadbd" else EXEC).format(program=program(name)))
        path.chmod(0o755)
    return folder


def linked(folder: Path) -> Path:
    """A prefix that has links to the system's server."""
    (folder / "bin").mkdir(parents=True)
    for name in ("mariadbd", "mariadb-install-db"):
        (folder / "bin" / name).symlink_to(program(name))
    return folder


def said(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.usefixtures("no_server_around")
@pytest.mark.parametrize("where", ["bin", "sbin", "libexec"])
def test_a_prefix_is_looked_through(tmp_path: Path, where: str) -> None:
    prefix = prefix_with(tmp_path / "conda env", where)
    found = named_programs(prefix)
    assert found.server == prefix / where / "mariadbd"
    assert found.installer == prefix / "bin" / "mariadb-install-db"
    assert (found.flavour, found.basedir) == ("MariaDB", None)
    assert named_programs(found.server) == found


def test_links_find_their_tools_where_they_lead_to(tmp_path: Path) -> None:
    link = tmp_path / "my-server"
    link.symlink_to(program("mariadbd"))
    found = named_programs(link)
    assert found.installer is not None
    assert found.installer.name == "mariadb-install-db"


def test_a_server_that_was_moved_is_told_where_its_files_are(tmp_path: Path) -> None:
    messages = tmp_path / "tarball" / "share" / "english" / "errmsg.sys"
    messages.parent.mkdir(parents=True)
    messages.touch()
    server = tmp_path / "tarball" / "bin" / "mariadbd"
    assert Programs("MariaDB", "11.4", server, None).basedir == tmp_path / "tarball"
    assert find_programs().basedir is None  # the system's own


@pytest.mark.usefixtures("no_server_around")
@pytest.mark.parametrize(("script", "is_the_script"), [(EXEC, True), (CHILD, False)], ids=["exec", "child"])
def test_a_server_behind_a_script_starts_and_stops_in_order(
    tmp_path: Path, files: ServerFiles, capsys: pytest.CaptureFixture[str], script: str, is_the_script: bool
) -> None:
    prefix = prefix_with(tmp_path / "prefix", script=script)
    assert main(["db", "start", str(files.root), "--server", str(prefix)]) == 0
    record = read_record(files)
    assert record is not None
    server = psutil.Process(record.process.pid)
    assert server.name() == "mariadbd"
    parent = server.parent()
    assert (parent is None or str(prefix / "sbin" / "mariadbd") not in parent.cmdline()) is is_the_script
    assert control.stop(files)
    assert not record.is_alive_here()
    assert "ready for connections" in files.log.read_text()
    assert "Shutdown complete" in files.log.read_text()
    capsys.readouterr()


@pytest.mark.usefixtures("no_server_around")
def test_links_to_a_server_start_it(tmp_path: Path, files: ServerFiles, monkeypatch) -> None:
    monkeypatch.setenv("NANO_HPO_SERVER", str(linked(tmp_path / "prefix")))
    assert main(["db", "start", str(files.root)]) == 0
    assert control.stop(files)


def test_a_run_has_the_server_that_is_named(cli, tmp_path: Path) -> None:
    prefix = prefix_with(tmp_path / "prefix")
    for name in ("mariadbd", "mariadb-install-db"):
        script = next(prefix.glob(f"*/{name}"))
        script.write_text(script.read_text().replace("exec", f'touch "{tmp_path}/used-{name}"\nexec'))
    words = ("run", "job.py:empty", "-n", 2, "--study-name", "s", "--draw", "none", "--storage", "auto:mysql")
    done = cli(*words, "--server", prefix)
    assert done.code == 0, done.err
    assert "was stopped; its data stays" in done.err
    assert f"nano-hpo db start '{cli.cwd}/nano-hpo-runs/mysql' --server {prefix}, then" in done.err
    assert {path.name for path in tmp_path.glob("used-*")} == {"used-mariadbd", "used-mariadb-install-db"}
    cli.env["NANO_HPO_SERVER"] = str(tmp_path / "nowhere")
    refused = cli(*words, "--resume")
    assert (refused.code, refused.err.count("\n"), "nowhere is not there" in refused.err) == (2, 1, True)
    more = cli(*words, "--resume", "--server", "../prefix/sbin/mariadbd")  # the argument wins
    assert more.code == 0, more.err


FROM_PYTHON = """
import sys
from orchestrator import search
where = {"storage": "auto:mysql", "server": sys.argv[1], "study_name": "s", "draw": "none"}
print(len(search("job.py:empty", n_trials=2, **where).trials_dataframe()))
"""


def test_python_names_a_server_likewise(cli, tmp_path: Path) -> None:
    command = [sys.executable, "-c", FROM_PYTHON, str(prefix_with(tmp_path / "prefix"))]
    done = subprocess.run(command, cwd=cli.cwd, env=cli.env, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr


NO_SERVERS = {
    "missing": (None, "is not there"),
    "file": ("just text", "no program that you may run"),
    "empty": ("", "no program that you may run"),
    "other": ("#!/bin/sh\necho I like Ver much\nexit 3\n", "does not run as a server"),
    "broken": ("\x7fELF not really", "does not run as a server"),
    "client": ("#!/bin/sh\necho mariadb  Ver 15.1 Distrib 10.11.6-MariaDB\n", "does not run as a server"),
    "alone": ("#!/bin/sh\necho mariadbd  Ver 11.4.2-MariaDB for Linux\n", "not mariadb-install-db beside it"),
}


@pytest.mark.parametrize("name", NO_SERVERS)
def test_what_is_no_server_is_one_line_and_nothing_is_made(
    tmp_path: Path, files: ServerFiles, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    text, why = NO_SERVERS[name]
    path = tmp_path / "server"
    if text is not None:
        path.write_text(text)
        path.chmod(0o644 if name in ("file", "empty") else 0o755)
    assert main(["db", "start", str(files.root), "--server", str(path)]) == 2
    line = said(capsys)
    assert why in line
    assert str(path) in line
    assert not files.root.exists()


def test_a_folder_without_a_server_is_refused(tmp_path: Path, files: ServerFiles, capsys) -> None:
    (tmp_path / "prefix" / "bin").mkdir(parents=True)
    assert main(["db", "start", str(files.root), "--server", str(tmp_path / "prefix")]) == 2
    assert "neither mariadbd nor mysqld" in said(capsys)


def test_a_wrong_path_is_refused_beside_a_server_that_runs(
    tmp_path: Path, files: ServerFiles, capsys
) -> None:
    assert main(["db", "start", str(files.root)]) == 0
    capsys.readouterr()
    assert main(["db", "start", str(files.root), "--server", str(tmp_path / "nowhere")]) == 2
    assert "is not there" in said(capsys)


def test_a_server_is_for_a_private_one_alone(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for storage in ((), ("--storage", "sqlite:///s.db")):
        done = cli("run", "job.py:empty", "-n", 1, "--server", "/usr", *storage)
        assert (done.code, done.err.count("\n"), "--storage auto:mysql" in done.err) == (2, 1, True)
    monkeypatch.setenv("NANO_HPO_SERVER", "/somewhere")  # which is there for other runs
    assert server_for("mysql://u@h/d", None) is None
    assert server_for("auto:mysql", None) == "/somewhere"
    assert server_for("auto:mysql", "~/db") == str(Path("~/db").expanduser())


@pytest.mark.parametrize("given", ["", 5])
def test_a_server_that_is_no_path_is_refused(given: object) -> None:
    with pytest.raises(SpecError, match="server is"):
        chosen_server(given)  # type: ignore[arg-type]


def test_the_server_is_not_part_of_what_a_run_is() -> None:
    one, other = (RunSpec("f", "s", 1, storage_url="auto:mysql", server=name) for name in ("/a", "/b"))
    assert one.identity_hash() == other.identity_hash()


def test_a_rank_elsewhere_needs_no_server_program(files: ServerFiles, monkeypatch, tmp_path: Path) -> None:
    """Rank 0's server answers; what is named may be on the local disk of rank 0's machine."""
    control.start(files, None, print)
    monkeypatch.setattr(automatic, "start_held", lambda *_, **__: pytest.fail("reached"))
    guest = Rank(1, 2, 0, 1, "openmpi")
    with pytest.raises(pytest.fail.Exception, match="reached"):
        automatic.attend(f"auto:mysql:{files.root}", guest, print, str(tmp_path / "nowhere"))
    alone = Rank(0, 1, 0, 1, None)
    with pytest.raises(StorageError, match="is not there"):
        automatic.attend(f"auto:mysql:{files.root}", alone, print, str(tmp_path / "nowhere"))
