"""What an error of a database means: again at once, again while patience lasts, or never."""

from __future__ import annotations

import pytest
from sqlalchemy import exc

from orchestrator.sql.failures import Trouble, is_passing, said, trouble


def error(*arguments, kind=Exception, invalidated=False, **attributes):
    cause = kind(*arguments)
    for name, value in attributes.items():
        setattr(cause, name, value)
    return exc.OperationalError("SELECT 1", {}, cause, connection_invalidated=invalidated)


class LibpqError(Exception):
    """Stands for psycopg's, which has no number when a connection cannot be made."""


LibpqError.__module__ = "psycopg.errors"

BUSY = [
    error(1213, "Deadlock found when trying to get lock; try restarting transaction"),
    error(1205, "Lock wait timeout exceeded; try restarting transaction"),
    error(1020, "Record has changed since last read in table 'nano_runs'"),
    error(1412, "Table definition has changed, please retry transaction"),
    error("database is locked"),
    error("could not serialize access", sqlstate="40001"),
    error("deadlock detected", pgcode="40P01"),
]
AWAY = [
    error(2002, "Can't connect to local server through socket '/s.sock' (2)"),
    error(2003, "Can't connect to MySQL server on 'db' ([Errno 111] Connection refused)"),
    error(2005, "Unknown server host 'db' (-3)"),
    error(2006, "Server has gone away"),
    error(2013, "Lost connection to server during query"),
    error(2026, "TLS/SSL error: unexpected eof while reading"),
    error(1040, "Too many connections"),
    error(1053, "Server shutdown in progress"),
    error(1158, "Got an error reading communication packets"),
    error(1203, "User ada already has more than 'max_user_connections' active connections"),
    error(1226, "User 'ada' has exceeded the 'max_user_connections' resource (current value: 5)"),
    error(1290, "The MariaDB server is running with the --read-only option so it cannot execute this"),
    error(1317, "Query execution was interrupted"),
    error(1927, "Connection was killed"),
    error(4031, "The client was disconnected by the server because of inactivity."),
    error(0, "", invalidated=True),
    error("terminating connection due to administrator command", sqlstate="57P01"),
    error("sorry, too many clients already", pgcode="53300"),
    error("connection failure", sqlstate="08006"),
    error('connection to server at "db", port 5432 failed: Connection refused', kind=LibpqError),
    error("FATAL:  the database system is starting up", kind=LibpqError),
    error('FATAL:  too many connections for role "ada"', kind=LibpqError),
]
LASTING = [
    error(1045, "Access denied for user 'ada'@'host' (using password: YES)"),
    error(1044, "Access denied for user 'ada'@'host' to database 'hpo'"),
    error(1049, "Unknown database 'hpo'"),
    error(1021, "Disk full (/tmp); waiting for someone to free some space..."),
    error(1114, "The table 'trials' is full"),
    error(1142, "INSERT command denied to user 'ada'@'host' for table `hpo`.`trials`"),
    error(1146, "Table 'hpo.trials' doesn't exist"),
    error(1226, "User 'ada' has exceeded the 'max_questions' resource (current value: 5)"),
    error(1290, "The MariaDB server is running with the --secure-file-priv option"),
    error(2026, "TLS/SSL error: self-signed certificate in certificate chain"),
    error(
        2003,
        "Can't connect to MySQL server on 'db' ([SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed)",
    ),
    error("database or disk is full"),
    error("attempt to write a readonly database"),
    error("could not extend file: No space left on device", sqlstate="53100"),
    error('FATAL:  password authentication failed for user "ada"', kind=LibpqError),
    error(),
]


@pytest.mark.parametrize(
    ("failure", "kind"),
    [(e, kind) for kind, some in zip(Trouble, (BUSY, AWAY, LASTING), strict=True) for e in some],
    ids=lambda value: said(value)[:50] if isinstance(value, Exception) else value.name,
)
def test_an_error_is_of_its_kind(failure, kind):
    assert trouble(failure) is kind
    assert is_passing(failure) is (kind is not Trouble.LASTING)
