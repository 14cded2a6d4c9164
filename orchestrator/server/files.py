"""Every file name of a private server: its folder in, paths out; and the lock that starts and stops hold."""

from __future__ import annotations

import fcntl
import shlex
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from orchestrator.errors import StorageError
from orchestrator.server.ownership import require_own_folder

_PATIENCE_S = 300.0


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """The files of one private server, all below ``root``."""

    root: Path

    @classmethod
    def at(cls, folder: Path) -> ServerFiles:
        """The files below a folder as a user names it."""
        return cls(folder.expanduser().resolve())

    @property
    def data(self) -> Path:
        """The server's data directory; there only when it is complete."""
        return self.root / "data"

    @property
    def new_data(self) -> Path:
        """The data directory while it is being made."""
        return self.root / "data.new"

    @property
    def scratch(self) -> Path:
        """The server's temporary files: one that starts deletes those it finds, whosever they are."""
        return self.root / "tmp"

    @property
    def settings(self) -> Path:
        """The server's option file, written once and the user's afterwards."""
        return self.root / "server.cnf"

    @property
    def admin(self) -> Path:
        """How the administrator logs in: an option file with a password, 0600."""
        return self.root / "admin.cnf"

    @property
    def client(self) -> Path:
        """How searches log in: an option file with a password, 0600. The storage URL names it."""
        return self.root / "client.cnf"

    @property
    def accounts(self) -> Path:
        """The SQL that sets the passwords; there only while the server starts, 0600."""
        return self.root / "accounts.sql"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.root / "server.log"

    @property
    def record(self) -> Path:
        """Which process serves, where, and since when."""
        return self.root / "server.json"

    @property
    def socket(self) -> Path:
        """The server's socket, where the path is fit for one."""
        return self.root / "server.sock"

    @property
    def pid(self) -> Path:
        """The server's own note of its process; ours is :attr:`record`."""
        return self.root / "server.pid"

    @property
    def lock(self) -> Path:
        """Locked while the server is started or stopped."""
        return self.root / ".lock"

    @property
    def users(self) -> Path:
        """Locked, shared, by every launch that uses the server."""
        return self.root / ".users"

    def command(self, verb: str) -> str:
        """What to type for a verb of ``nano-hpo db``."""
        return f"nano-hpo db {verb} {shlex.quote(str(self.root))}"

    def is_made(self) -> bool:
        """Whether a private server was begun here."""
        return self.settings.exists()

    def create(self) -> None:
        """Make the folder, private to its owner; refuse one that is not, or that holds something else."""
        with self._usable():
            self._make()
        foreign = [path.name for path in self.root.iterdir() if not path.name.startswith(".")]
        if foreign and not self.is_made():
            raise StorageError(f"{self.root} holds other files; choose a new or empty folder for the server.")

    def _make(self) -> None:
        if not self.root.is_dir():
            self.root.mkdir(parents=True, mode=0o700, exist_ok=True)
        require_own_folder(self.root)
        with tempfile.TemporaryFile(dir=self.root):
            pass

    @contextmanager
    def _usable(self) -> Iterator[None]:
        """What the system refuses in this block becomes a line."""
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"{self.root} cannot be used ({error.strerror}); choose another folder for the server."
            ) from None

    def require_own(self) -> None:
        """Refuse a folder of somebody else, or that others can write, before anything in it is believed."""
        with self._usable():
            if self.root.is_dir():
                require_own_folder(self.root)

    def require(self) -> None:
        """Refuse a folder without a server, or that is not our own."""
        self.require_own()
        if not self.is_made():
            raise StorageError(f"There is no server in {self.root}; begin one: {self.command('start')}")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else starts or stops the server in this block; waits for whoever does."""
        with self.lock.open("a") as file:
            deadline = time.monotonic() + _PATIENCE_S
            while not try_lock(file, fcntl.LOCK_EX):
                if time.monotonic() > deadline:
                    raise StorageError(
                        f"Somebody has been starting or stopping the server in {self.root} too long."
                    )
                time.sleep(0.05)
            yield


def try_lock(file: IO[str], kind: int) -> bool:
    """Lock a file if nobody is in the way; a file system without locks is as if nobody were."""
    try:
        fcntl.flock(file.fileno(), kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
