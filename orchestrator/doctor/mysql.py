"""MySQL and MariaDB: a connection in; checks of version, room, rights and settings out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from orchestrator.doctor.check import Check, bad, good, mind
from orchestrator.sql.advice import collation_trap
from orchestrator.sql.rights import RIGHTS, grant_for
from orchestrator.sql.tables import missing_tables

_OLDEST = {"MySQL": (5, 7), "MariaDB": (10, 3)}
_USES = ("SELECT", "INSERT", "UPDATE", "DELETE")
_RESERVED = 3  # connections left to administrators
_SMALLEST_PACKET_MIB = 4


def mysql_checks(c: sa.Connection, url: str, n_workers: int = 1) -> Iterator[Check]:
    """Everything that is particular to these servers, for so many workers on this machine."""
    yield _version(c)
    yield _room(c, n_workers)
    yield _rights(c, url)
    yield _charset(c)
    yield _names(c, url)
    yield _writes(c)
    yield _settings(c)
    yield _packet(c)
    yield _encryption(c)


def _one(c: sa.Connection, expression: str) -> Any:
    return c.exec_driver_sql(f"SELECT {expression}").scalar()


def _status(c: sa.Connection, name: str) -> str:
    row = c.exec_driver_sql(f"SHOW STATUS LIKE '{name}'").first()
    return str(row[1]) if row is not None else ""


def _version(c: sa.Connection) -> Check:
    text = str(_one(c, "VERSION()"))
    kind = "MariaDB" if "mariadb" in text.lower() else "MySQL"
    number = re.search(r"(\d+)\.(\d+)(?:\.\d+)?", text.removeprefix("5.5.5-"))
    if number is None:
        return mind("server", f"{kind} of unknown version '{text}'", "it may work")
    said = f"{kind} {number[0]}"
    if (int(number[1]), int(number[2])) < _OLDEST[kind]:
        oldest = ".".join(map(str, _OLDEST[kind]))
        return mind("server", said, f"tried and meant for {kind} {oldest} and newer")
    return good("server", said)


def _room(c: sa.Connection, n_workers: int) -> Check:
    """Each worker and each agent has one connection; this one is given back."""
    limit, used = int(_one(c, "@@max_connections")), int(_status(c, "Threads_connected"))
    left, said = limit - used + 1 - _RESERVED, f"{used} of {limit} connections in use"
    mine = int(_one(c, "@@max_user_connections"))
    if mine:
        have = int(
            _one(
                c, "COUNT(*) FROM information_schema.processlist WHERE user = SUBSTRING_INDEX(USER(), '@', 1)"
            )
        )
        left, said = min(left, mine - have + 1), f"{said}, {have} of {mine} for this account"
    said = f"{said}: allows about {max(left - 1, 0)} workers more"
    if left < 3:
        return bad("connections", said, "raise max_connections (or the account's MAX_USER_CONNECTIONS)")
    if left - 1 < n_workers:
        step = f"fewer than this machine's {n_workers} cores: raise max_connections, else workers share some"
        return mind("connections", said, step)
    return good("connections", said) if left > 16 else mind("connections", said, "enough for a small run")


def _rights(c: sa.Connection, url: str) -> Check:
    database = str(_one(c, "DATABASE()"))
    has, has_roles = granted([row[0] for row in c.exec_driver_sql("SHOW GRANTS")], database)
    grant = grant_for(c, url)
    lacking = [right for right in RIGHTS if right not in has]
    if not lacking:
        return good("rights", f"all that is needed in {database}")
    said = f"no {', '.join(lacking)} in {database}"
    if has_roles:
        return mind("rights", f"{said}, unless by a role", f"to be sure: {grant}")
    if set(lacking) & {*_USES} or missing_tables(c):
        return bad("rights", said, f"an administrator runs: {grant}")
    return good("rights", f"{said}; none is needed, all tables are there")


def granted(grants: list[str], database: str) -> tuple[set[str], bool]:
    """The rights in a database that ``SHOW GRANTS`` speaks of, and whether roles may add to them."""
    has: set[str] = set()
    has_roles = False
    for grant in grants:
        found = re.match(r"GRANT (?P<rights>.+?) ON (?P<scope>\S+) TO ", grant)
        if found is None:
            has_roles = has_roles or grant.startswith("GRANT")
        elif _covers(found["scope"], database):
            rights = {right.strip() for right in found["rights"].split(",")}
            has |= {*RIGHTS} if "ALL PRIVILEGES" in rights else rights
    return has, has_roles


def _covers(scope: str, database: str) -> bool:
    """Whether ``*.*`` or ```pattern`.*`` speaks of a database: % and _ are wildcards unless escaped."""
    if scope == "*.*":
        return True
    pattern, _, tables = scope.rpartition(".")
    words = re.split(r"(\\.|%|_)", pattern.strip("`"))
    signs = {"%": ".*", "_": "."}
    regex = "".join(signs.get(word) or re.escape(word[-1:] if word[:1] == "\\" else word) for word in words)
    return tables == "*" and re.fullmatch(regex, database) is not None


def _charset(c: sa.Connection) -> Check:
    """Of tables that others make; ours say their own."""
    found = f"{_one(c, '@@character_set_database')}, {_one(c, '@@collation_database')} by default"
    if str(_one(c, "@@collation_database")) == "utf8mb4_bin":
        return good("character set", found)
    return good("character set", f"{found}; tables that nano-hpo makes have utf8mb4_bin all the same")


def _names(c: sa.Connection, url: str) -> Check:
    trap = collation_trap(url)
    if trap is None:
        return good("names", "P and p are two parameters (binary collation)")
    return mind("names", trap, "CREATE DATABASE … CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")


def _writes(c: sa.Connection) -> Check:
    if int(_one(c, "@@read_only")):
        return bad("writes", "the server is read only", "name the primary server, not its replica")
    return good("writes", "allowed")


def _settings(c: sa.Connection) -> Check:
    """MySQL 8 knows the isolation under its new name only, MariaDB before 11.1 under the old one only."""
    rows = c.exec_driver_sql(
        "SHOW VARIABLES WHERE Variable_name IN ('tx_isolation', 'transaction_isolation', 'wait_timeout')"
    )
    found = {str(name): str(value) for name, value in rows}
    isolation = found.get("transaction_isolation") or found.get("tx_isolation", "unknown")
    said = f"{isolation}, idle connections are closed after {found.get('wait_timeout')} s"
    if isolation not in ("REPEATABLE-READ", "SERIALIZABLE"):
        return mind(
            "isolation", said, "a picture of a study may be of several moments; REPEATABLE-READ is meant"
        )
    return good("isolation", said)


def _packet(c: sa.Connection) -> Check:
    size_mib = int(_one(c, "@@max_allowed_packet")) / 2**20
    said = f"statements of up to {size_mib:g} MiB (max_allowed_packet)"
    if size_mib < _SMALLEST_PACKET_MIB:
        return mind("packets", said, f"{_SMALLEST_PACKET_MIB} MiB or more: a wide agent's report may not fit")
    return good("packets", said)


def _encryption(c: sa.Connection) -> Check:
    cipher = _status(c, "Ssl_cipher")
    if cipher:
        return good("encryption", f"TLS ({cipher})")
    host = c.engine.url.host or "localhost"
    if host in ("localhost", "127.0.0.1", "::1") or "unix_socket" in c.engine.url.query:
        return good("encryption", "none, on this machine alone")
    return mind("encryption", "none", "ssl_mode=REQUIRED in the URL, or ssl_ca=FILE to know the server too")
