"""What a database administrator is asked for: names in; the SQL that makes a database and an account out.

It is understood by MySQL 5.7 and newer and by MariaDB 10.2 and newer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestrator.errors import SpecError

PLACEHOLDER = "CHANGE_THIS_PASSWORD"
_USE = ("SELECT", "INSERT", "UPDATE", "DELETE")
_MAKE = ("CREATE", "ALTER", "DROP", "INDEX", "REFERENCES")
# What needs no escape within quotes of either kind; MySQL takes 64 characters of a database, 32 of a user.
_RULES = {
    "database": (
        re.compile(r"[A-Za-z0-9_$-]{1,64}"),
        "1 to 64 of the characters A-Z, a-z, 0-9, '_', '-', '$'",
    ),
    "user": (re.compile(r"[\w.-]{1,32}", re.ASCII), "1 to 32 of the characters A-Z, a-z, 0-9, '_', '-', '.'"),
    "host": (
        re.compile(r"[\w.:%/-]{1,60}", re.ASCII),
        "a name, an address, or a pattern as '10.1.%' and '%'",
    ),
}


@dataclass(frozen=True, slots=True)
class Grant:
    """An account and its database. ``makes_tables`` off: a colleague's account has made the tables."""

    database: str = "nano_hpo"
    user: str = "nano_hpo"
    host: str = "%"
    makes_tables: bool = True

    def __post_init__(self) -> None:
        """Refuse names that would need quoting."""
        for name, (pattern, rule) in _RULES.items():
            value = getattr(self, name)
            if not pattern.fullmatch(value):
                raise SpecError(f"--{name} is '{value}'; it must be {rule}.")


def render_grant(grant: Grant) -> str:
    """The text of a ``setup_db.sql``."""
    account = f"'{grant.user}'@'{grant.host}'"
    rights = ", ".join(_USE + _MAKE if grant.makes_tables else _USE)
    return f"""\
-- A database and an account for nano-hpo, on MySQL (5.7 or newer) or MariaDB. For its administrator:
--   1. put a password in the place of {PLACEHOLDER};
--   2. mysql -u root -p < setup_db.sql
-- Names must be compared exactly, hence utf8mb4_bin: other collations take the parameters P and p for one.
-- One connection for each worker and each agent: see max_connections (151 unless it was raised).
CREATE DATABASE IF NOT EXISTS `{grant.database}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE USER IF NOT EXISTS {account} IDENTIFIED BY '{PLACEHOLDER}';
{_why(grant)}
GRANT {rights} ON `{grant.database}`.* TO {account};
-- Then: export NANO_HPO_STORAGE='mysql://{grant.user}:PASSWORD@THIS_HOST/{grant.database}'
"""


def _why(grant: Grant) -> str:
    if grant.makes_tables:
        return f"-- {', '.join(_MAKE)}: the first search makes the tables, later versions may change them."
    return "-- No right to make tables: an account that has it must run the first search in this database."
