"""Who may log in: a server's folder in; generated passwords in option files, and the SQL that sets them, out.

``root`` administers, on the socket and with a password; ``nano_hpo``, also over TCP, has its databases and
nothing else (and may shut the server down, which the last agent of a run does from whichever machine it is
on). The passwords are set anew at every start, from the files: a lost file is made again. Every start also
drops what MariaDB's installer makes besides: ``root`` from this host's name and its loopback addresses,
without any password.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from orchestrator.errors import StorageError
from orchestrator.paths import write_whole
from orchestrator.server.files import ServerFiles

ADMIN, CLIENT = "root", "nano_hpo"
DATABASE = "nano_hpo"
_NAME = re.compile(r"[A-Za-z0-9_$-]{1,64}")
_SECRET = 0o600
# Accounts that an installer makes without a password: anonymous ones, and root from other hosts.
OPEN_ACCOUNTS = f"FROM mysql.user WHERE User = '' OR (User = '{ADMIN}' AND Host <> 'localhost')"
# By statements that MariaDB, where mysql.user is a view, and MySQL have in common.
_DROP_OPEN_ACCOUNTS = (
    "SET SESSION group_concat_max_len = 65536",
    "SELECT COALESCE(CONCAT('DROP USER ', GROUP_CONCAT(QUOTE(User), '@', QUOTE(Host))), 'DO 0') "
    f"INTO @drop_open {OPEN_ACCOUNTS}",
    "PREPARE drop_open FROM @drop_open",
    "EXECUTE drop_open",
)


def write_accounts(files: ServerFiles, socket: str, tcp: tuple[str, int] | None) -> None:
    """Write both option files for these addresses, keeping their passwords, and the SQL that sets them."""
    admin, client = _password(files.admin), _password(files.client)
    local = f'socket = "{socket}"'
    address = local if tcp is None else f'host = "{tcp[0]}"\nport = {tcp[1]}'
    write_whole(files.admin, _option_file(ADMIN, admin, local), mode=_SECRET)
    write_whole(files.client, _option_file(CLIENT, client, address), mode=_SECRET)
    write_whole(files.accounts, _accounts_sql(admin, client), mode=_SECRET)


def _option_file(user: str, password: str, address: str) -> str:
    return f'[client]\nuser = {user}\npassword = "{password}"\n{address}\n'


def _password(file: Path) -> str:
    """The password in an option file, else a new one that the usual rules for passwords accept."""
    found = re.search(r'^password = "([\w-]+)"$', file.read_text(), re.MULTILINE) if file.exists() else None
    return found[1] if found else f"{secrets.token_urlsafe(24)}-Aa1"


def _accounts_sql(admin: str, client: str) -> str:
    """Statements for ``init_file``, which takes one a line and runs before anybody can connect."""
    return "\n".join(
        [
            *(f"{statement};" for statement in _DROP_OPEN_ACCOUNTS),
            f"ALTER USER '{ADMIN}'@'localhost' IDENTIFIED BY '{admin}';",
            f"CREATE USER IF NOT EXISTS '{CLIENT}'@'%' IDENTIFIED BY '{client}';",
            f"ALTER USER '{CLIENT}'@'%' IDENTIFIED BY '{client}';",
            f"GRANT SHUTDOWN ON *.* TO '{CLIENT}'@'%';",
            *(f"{statement};" for statement in database_sql(DATABASE)),
            "",
        ]
    )


def database_sql(name: str) -> list[str]:
    """The statements that make a database for studies and open it to searches."""
    return [
        f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        f"GRANT ALL PRIVILEGES ON `{name}`.* TO '{CLIENT}'@'%'",
    ]


def checked_database(name: str) -> str:
    """A database's name if it needs no quoting anywhere."""
    if not _NAME.fullmatch(name):
        raise StorageError(
            f"Database '{name}': a name has 1 to 64 of the characters A-Z, a-z, 0-9, '_', '-' and '$'."
        )
    return name
