"""Where a relay listens: a file in, the address and the secret in it out, if the file can be believed.

The file is its owner's alone (0600), in a folder that nobody else can write: who could change it would be
sent all queries. The URL ``relay:///FILE`` names it, holds no secret, and may be in logs.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import stat
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from orchestrator.errors import StorageError

_BY_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_WRITABLE = stat.S_IWGRP | stat.S_IWOTH
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Address:
    """A socket's path, or a host and a port; the dialect of the database behind; the secret, as hex.

    ``lender``: who listens there, for people.
    """

    dialect: str
    socket: str | None = None
    host: str | None = None
    port: int | None = None
    lender: str = ""
    secret: str = field(default_factory=lambda: secrets.token_hex(_SECRET_BYTES), repr=False)

    def __post_init__(self) -> None:
        is_tcp = isinstance(self.host, str) and isinstance(self.port, int)
        if isinstance(self.socket, str) == is_tcp:
            raise ValueError("neither a socket nor a host and port")
        are_texts = isinstance(self.dialect, str) and isinstance(self.lender, str)
        if not are_texts or len(self.key) != _SECRET_BYTES:
            raise ValueError("no dialect, no lender or no secret")

    @property
    def key(self) -> bytes:
        """The secret."""
        return bytes.fromhex(self.secret)

    @property
    def where(self) -> str:
        """The address for people."""
        return self.socket or f"{self.host}:{self.port}"

    def write(self, file: Path) -> None:
        """Put it into its file, readable by its owner from the first moment on."""
        temporary = file.with_name(f".{file.name}.{secrets.token_hex(8)}.tmp")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
                opened.write(json.dumps(asdict(self)) + "\n")
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)

    def remove(self, file: Path) -> None:
        """Remove the file, if it is still about this relay."""
        with suppress(StorageError, OSError):
            if read_address(file) == self:
                file.unlink()


def read_address(file: Path) -> Address:
    """What the file says. Raises ``StorageError``: passing where there is none (yet), else lasting."""
    try:
        text = _read_own(file)
    except FileNotFoundError:
        raise StorageError(f"Nobody lends a database by {file} now.", is_passing=True) from None
    except OSError as error:
        raise StorageError(f"{file} cannot be read ({error.strerror}).") from None
    try:
        return Address(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise StorageError(f"{file} was not written by nano-hpo ({error}).") from None


def _read_own(file: Path) -> str:
    """The file's text; ``StorageError`` unless file and folder are ours alone."""
    _require_own_folder(file.parent)
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as opened:
        found = os.fstat(descriptor)
        _require_owner(file, found)
        if not stat.S_ISREG(found.st_mode) or found.st_mode & _BY_OTHERS:
            raise StorageError(
                f"{file} is not for its owner alone (mode {stat.S_IMODE(found.st_mode):04o}), so the relay "
                "that it names is not believed; remove it, and start the run again."
            )
        return opened.read()


def _require_own_folder(folder: Path) -> None:
    found = folder.stat()
    _require_owner(folder, found)
    if found.st_mode & _WRITABLE:
        raise StorageError(
            f"{folder} can be written by others (mode {stat.S_IMODE(found.st_mode):04o}), so the relay that "
            f"a file in it names is not believed; chmod go-w {shlex.quote(str(folder))}"
        )


def _require_owner(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise StorageError(
            f"{path} belongs to user {found.st_uid}, so the relay that it names is not believed; "
            "name a file of your own."
        )
