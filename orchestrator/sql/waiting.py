"""How long a statement may keep its caller waiting: an engine and a pace in; a connection for it out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from orchestrator.sql.driver import BUSY_SQLITE_S, SILENCE_S


@dataclass(frozen=True, slots=True)
class Pace:
    """``wait_s``: after so long without an answer a statement has failed.

    A connection that is open already will do when its own limit is between ``least_s`` and ``most_s``.
    """

    wait_s: int
    least_s: float = 0.0
    most_s: float = math.inf


# For what can be done later as well, by somebody who has other things to do. (Oracle's client library waits
# three times as long as it is told to.)
HASTY = Pace(3, most_s=3)
# A server whose machine is gone says nothing, and another may stand in for it long before SILENCE_S.
USUAL = Pace(30)
# The same again: it may have been a slow statement, which would take as long again. No haste where a second
# try is not possible either.
LASTING = Pace(SILENCE_S, least_s=SILENCE_S)

_MYSQL_SOCKET = ("connect_timeout", "read_timeout", "write_timeout")


class Connector:
    """Opens the one connection of an engine at the pace that is asked for. Its caller has the turn.

    MySQL's drivers take their limits when they connect, so a connection of another pace is closed, and the
    waiting for a lock (``innodb_lock_wait_timeout``) ends before them. SQLite's and PostgreSQL's are set on
    the connection; a PostgreSQL server that stands still is not noticed. So is a relay's, which
    sets the limits of the real connection. Other drivers wait as they do.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._pace = self._wanted = LASTING  # of the connection that the engine may have; of its next one
        ways: dict[str, Callable[[Pace, bool], sa.Connection]] = {
            "sqlite+pysqlite": self._to_sqlite,
            "mysql+mysqldb": self._to_mysql,
            "mysql+pymysql": self._to_mysql,
            "sqlite+lent_pysqlite": self._by_relay,
            "mysql+lent_mysqldb": self._by_relay,
            "mysql+lent_pymysql": self._by_relay,
        }
        name, driver = engine.dialect.name, engine.dialect.driver
        plain = self._to_postgresql if name == "postgresql" else self._to_other
        self._way = ways.get(f"{name}+{driver}", plain)
        if self._way == self._to_mysql:
            sa.event.listen(engine, "do_connect", self._limit_socket)
            sa.event.listen(engine, "connect", self._limit_locks)
        if self._way == self._by_relay:
            sa.event.listen(engine, "do_connect", self._limit_answers)

    def connect(self, pace: Pace, reads: bool = False) -> sa.Connection:
        """The connection, opened where there is none that will do; ``reads``: on one picture."""
        return self._way(pace, reads)

    def _to_other(self, pace: Pace, reads: bool) -> sa.Connection:
        return self._engine.connect()

    def _to_sqlite(self, pace: Pace, reads: bool) -> sa.Connection:
        connection = self._engine.connect()
        busy_s = pace.wait_s if pace is HASTY else BUSY_SQLITE_S
        if connection.info.get("busy_s", BUSY_SQLITE_S) != busy_s:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {busy_s * 1000}")
            connection.info["busy_s"] = busy_s
        return connection

    def _to_postgresql(self, pace: Pace, reads: bool) -> sa.Connection:
        connection = self._engine.connect()
        if reads:  # see Database for why not always
            connection = connection.execution_options(isolation_level="REPEATABLE READ")
        if pace is HASTY:  # for this transaction; it covers the waiting for locks
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {pace.wait_s * 1000}")
        return connection

    def _to_mysql(self, pace: Pace, reads: bool) -> sa.Connection:
        if not pace.least_s <= self._pace.wait_s <= pace.most_s:
            self._engine.dispose()
        self._wanted = pace
        return self._engine.connect()

    def _by_relay(self, pace: Pace, reads: bool) -> sa.Connection:
        self._wanted = pace
        connection = self._engine.connect()
        lent: Any = connection.connection.driver_connection
        lent.wait_s = pace.wait_s
        return connection

    def _limit_answers(self, dialect: Any, record: Any, arguments: Any, named: dict[str, Any]) -> None:
        """Before it connects: what SQLAlchemy asks of a new connection takes no longer."""
        named["wait_s"] = self._wanted.wait_s

    def _limit_socket(self, dialect: Any, record: Any, arguments: Any, named: dict[str, Any]) -> None:
        """Before it connects. What the user's URL says holds, unless it is too long for haste."""
        self._pace = self._wanted
        for name in _MYSQL_SOCKET:
            if self._pace is HASTY or named.get(name) == SILENCE_S:
                named[name] = min(int(named.get(name, SILENCE_S)), self._pace.wait_s)

    def _limit_locks(self, connection: Any, record: Any) -> None:
        """A statement that nobody waits for any more must not go on waiting for its lock."""
        if self._pace is LASTING:
            return  # the server's own limit, 50 s as it comes, is shorter
        cursor = connection.cursor()
        cursor.execute(f"SET SESSION innodb_lock_wait_timeout = {max(1, self._pace.wait_s * 2 // 3)}")
        cursor.close()
