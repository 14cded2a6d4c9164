"""What a database or its driver raised: an exception in; what it means for the next attempt out.

MySQL's and MariaDB's numbers are the same for every driver: https://mariadb.com/kb/en/mariadb-error-codes,
https://dev.mysql.com/doc/mysql-errors/8.0/en. PostgreSQL's five characters: its manual, appendix A.
"""

from __future__ import annotations

from enum import Enum

import optuna
from sqlalchemy import exc

from orchestrator.storage_url import masked


class Trouble(Enum):
    """Whether the same transaction may succeed later."""

    BUSY = "others were in the way: again at once"
    AWAY = "the server is away, or lets nobody in: again while patience lasts"
    LASTING = "waiting does not help"


_BUSY_MYSQL = frozenset(
    {
        1205,  # waited too long for a lock
        1213,  # deadlock; also how Galera refuses what another node has changed
        1020,  # a row has changed since our picture: MariaDB from 11.6 on (innodb_snapshot_isolation)
        1412,  # a table was created or altered since our picture
        3101,  # group replication undid the transaction at its commit
    }
)
_AWAY_MYSQL = frozenset(
    {
        2002,  # cannot connect, by socket
        2003,  # cannot connect, by TCP
        2005,  # the host's name is not known: a name server may be away as well
        2006,  # gone away
        2013,  # lost during a query
        2026,  # TLS broke off (a certificate that is refused: see _LASTING_SIGNS)
        2055,  # lost, with the system's error
        1040,  # too many connections
        1203,  # the account has too many (its max_user_connections)
        1047,  # a Galera node that is not ready
        1053,  # shutting down
        1077,  # the same, as it says it while it ends
        1079,  # shut down
        1080,  # our thread was closed by force
        1152,  # connection aborted
        1184,  # the same, a new one
        1158,  # network: read error
        1159,  # network: read timeout
        1160,  # network: write error
        1161,  # network: write timeout
        1317,  # somebody interrupted the statement: an administrator, or the shutdown
        1836,  # read only: the old primary while another server takes over
        1927,  # MariaDB: connection was killed
        3169,  # MySQL: session was killed
        4031,  # MySQL 8: closed after wait_timeout
    }
)
# On purpose not above: 1021, 1114, 1030 (no room), 1044, 1045, 1142 (no right), 1049, 1146 (not there), 1153
# (packet too large), 1665 (binary log), 3024 and 1969 (statement timeout: it would take as long again).
_REFUSED_TEXT = frozenset({1267, 1366, 3988})  # characters that the database, or its collation, lacks
_BUSY_POSTGRESQL = frozenset({"40001", "40P01", "55P03"})  # serialisation, deadlock, lock
_AWAY_POSTGRESQL = frozenset(
    {
        "53300",  # too many connections
        "57P01",  # shutdown by an administrator
        "57P02",  # crash of a neighbour
        "57P03",  # starting up, or in recovery
        "57P05",  # closed after idle_session_timeout
        "57014",  # interrupted
        "25006",  # read only, while another server takes over
    }
)
# libpq gives no number when a connection cannot be made.
_AWAY_LIBPQ = (
    "connection refused",
    "no such file or directory",  # the socket of a server that is down
    "could not connect",
    "could not translate host name",
    "server closed the connection",
    "starting up",
    "shutting down",
    "in recovery mode",
    "timeout expired",
    "timed out",
    "too many clients",
    "too many connections",  # of a role or a database
    "remaining connection slots",
)
_LASTING_SIGNS = ("certificate", "ssl is required", "tls is required", "ssl routines", "hostname")
_TLS_MYSQL = (2003, 2026)  # pymysql reports a refused certificate as 2003


def trouble(error: exc.DBAPIError) -> Trouble:
    """What kind of trouble a statement, a commit or a connection has met."""
    cause, text = error.orig, str(error.orig).lower()
    code = _code(error)
    if code in _TLS_MYSQL and any(sign in text for sign in _LASTING_SIGNS):
        return Trouble.LASTING
    if code in _BUSY_MYSQL or "database is locked" in text or "database table is locked" in text:
        return Trouble.BUSY
    if error.connection_invalidated or code in _AWAY_MYSQL or _is_limit_of_now(code, text):
        return Trouble.AWAY
    return _trouble_of_postgresql(cause, text)


def _is_limit_of_now(code: object, text: str) -> bool:
    """Options and limits that share a number with others: only these pass by themselves.

    1290 is any option that forbids a statement; ``--read-only`` is taken back after a failover. 1226 is any
    limit of an account; those that count by the hour outlast our patience.
    """
    return (code == 1290 and "read-only" in text) or (code == 1226 and "max_user_connections" in text)


def _trouble_of_postgresql(cause: BaseException | None, text: str) -> Trouble:
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)  # psycopg, psycopg2
    if state in _BUSY_POSTGRESQL:
        return Trouble.BUSY
    if state in _AWAY_POSTGRESQL or str(state).startswith("08"):  # 08: connection exceptions
        return Trouble.AWAY
    is_libpq = state is None and type(cause).__module__.startswith("psycopg")
    if is_libpq and any(sign in text for sign in _AWAY_LIBPQ):
        return Trouble.AWAY
    return Trouble.LASTING


def is_passing(error: exc.DBAPIError) -> bool:
    """Whether the same statement may succeed a little later."""
    return trouble(error) is not Trouble.LASTING


def _code(error: exc.DBAPIError) -> object:
    return error.orig.args[0] if error.orig is not None and error.orig.args else None


def is_storage_failure(error: BaseException) -> bool:
    """Whether the study's database failed: not the user's code, nor what that wanted to store.

    An objective may use a database of its own, so the error must have come through this package.
    """
    lost_answer = optuna.exceptions.StorageInternalError
    if not isinstance(error, exc.SQLAlchemyError | lost_answer):
        return False
    if isinstance(error, exc.DBAPIError) and _code(error) in _REFUSED_TEXT:
        return False
    if isinstance(error, exc.DataError | exc.IntegrityError | exc.StatementError) and not isinstance(
        error, exc.OperationalError | exc.InterfaceError | exc.InternalError
    ):
        return False
    frames, traceback = [], error.__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame.f_globals.get("__name__", ""))
        traceback = traceback.tb_next
    return any(name.startswith(("orchestrator.sql", "orchestrator.storage")) for name in frames)


def said(error: BaseException) -> str:
    """The first line of what a database or its driver said, with passwords masked."""
    cause = getattr(error, "orig", None) or error
    return masked(str(cause).strip().splitlines()[0]) if str(cause).strip() else type(cause).__name__
