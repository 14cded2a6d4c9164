"""What all tests share: databases to work on, an environment of their own, no silent skips in CI."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from orchestrator.sql.driver import load_driver

# Tests import MySQLdb themselves, maybe after another one has loaded TensorFlow.
with suppress(ImportError):
    load_driver("mysql://")

# Continuous integration (CI=true) fails when a test is skipped for another reason than these.
ALLOWED_SKIPS = (
    "IPEX",  # intel-extension-for-pytorch needs torch 2.8, see the extra `ipex`
    "PostgreSQL",  # works when installed, but no server is asked for
)

MARIADB_PROGRAMS = ("mariadbd", "mariadb-install-db", "setpriv")
START_S = 240.0  # a start that takes longer has failed

# What the shell, a batch job or an MPI around pytest has set would decide what is tested.
FOREIGN = ("SLURM_", "OMPI_", "PMI", "PRTE_", "HYDRA_", "HYDI_", "MPI_", "NANO_HPO_S")
FOREIGN += ("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "BLIS_", "VECLIB_", "NUMEXPR_", "NUMBA_")
FOREIGN += ("TF_NUM_", "RAYON_", "POLARS_", "LOKY_")


class MariaDB:
    """A private MariaDB server in a temporary folder, on its own socket alone; root has no password."""

    def __init__(self) -> None:
        # Short: a socket's path may have 107 characters. 0755: the server's user must enter it.
        self.folder = Path(tempfile.mkdtemp(prefix="nano-db-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.socket = self.folder / "s.sock"
        self._user = self._own_folder()
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> str:
        """SQLAlchemy's URL of a database, over the socket."""
        return f"mysql://root@localhost/{database}?unix_socket={self.socket}"

    def create_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"t_{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
        return self.url(name)

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run one statement as root and return its rows."""
        import MySQLdb

        with closing(
            MySQLdb.connect(unix_socket=str(self.socket), user="root", autocommit=True)
        ) as connection:
            cursor = connection.cursor()
            cursor.execute(statement)
            return list(cursor.fetchall())

    def start(self) -> None:
        """Start the server and return when it answers."""
        if not (self.folder / "data").exists():
            self._install()
        command = [*self._lifeline(), program("mariadbd"), *self._options(), f"--socket={self.socket}"]
        command += ["--skip-networking", f"--log-error={self.folder / 'error.log'}"]
        command += [f"--pid-file={self.folder / 'pid'}", "--performance-schema=OFF"]
        command += ["--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M"]
        null = subprocess.DEVNULL
        self._process = subprocess.Popen(
            command, stdin=null, stdout=null, stderr=null, start_new_session=True
        )
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    f"mariadbd did not start:\n{(self.folder / 'error.log').read_text()[-3000:]}"
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """Shut the server down in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server as a power cut would; `start` brings it back with what was committed."""
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        """Stop the server and delete its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        import MySQLdb

        try:
            self.execute("SELECT 1")
        except MySQLdb.OperationalError:
            return False
        return True

    def _own_folder(self) -> list[str]:
        """Root hands the folder to the user `mysql`: the server refuses to run as root."""
        if os.getuid() != 0:
            return []
        mysql = pwd.getpwnam("mysql")
        os.chown(self.folder, mysql.pw_uid, mysql.pw_gid)
        return ["--user=mysql"]

    def _lifeline(self) -> list[str]:
        """Shuts the server down when pytest is killed; changing user later would undo it (prctl(2))."""
        as_mysql = ["--reuid=mysql", "--regid=mysql", "--clear-groups"] if self._user else []
        return [program("setpriv"), *as_mysql, "--pdeathsig=TERM"]

    def _options(self) -> list[str]:
        # A tmpdir of its own: a server that starts deletes the temporary tables that it finds there.
        folders = [f"--datadir={self.folder / 'data'}", f"--tmpdir={self.folder / 'tmp'}"]
        return ["--no-defaults", *self._user, *folders, "--skip-name-resolve"]

    def _install(self) -> None:
        scratch = self.folder / "tmp"
        scratch.mkdir()
        shutil.chown(scratch, *(("mysql", "mysql") if self._user else (os.getuid(), os.getgid())))
        command = [program("mariadb-install-db"), *self._options(), "--skip-test-db"]
        command += ["--auth-root-authentication-method=normal"]
        subprocess.run(command, check=True, capture_output=True)


def program(name: str) -> str:
    """The path of a server's program; Debian keeps some where an ordinary user's PATH does not look."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if path is None:
        raise FileNotFoundError(f"{name} is not installed")
    return path


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """A private server for the whole session; each test makes a database of its own in it."""
    try:
        [program(name) for name in MARIADB_PROGRAMS]
        import MySQLdb  # noqa: F401
    except (FileNotFoundError, ImportError) as error:
        pytest.skip(f"MariaDB: {error}")
    server = MariaDB()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(params=["sqlite", "mariadb"])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, once in a SQLite file and once on MariaDB."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'study.db'}"
    server: MariaDB = request.getfixturevalue("mariadb")
    return server.create_database()


class ForbidSkips:
    """Makes the session fail when a test was skipped for a reason that is not in `ALLOWED_SKIPS`."""

    def __init__(self) -> None:
        self.forbidden: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.forbidden and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in self.forbidden:
            terminalreporter.write_line(f"SKIPPED WITHOUT LEAVE: {line}", red=True)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if not reason.startswith(ALLOWED_SKIPS):
            self.forbidden.append(f"{report.nodeid}: {reason}")


def pytest_configure(config: pytest.Config) -> None:
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        del os.environ[name]
    if os.environ.get("CI") == "true":
        config.pluginmanager.register(ForbidSkips(), "forbid-skips")
