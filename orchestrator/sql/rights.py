"""What an account may do: a connection, or what a statement raised, in; the rights that it needs out."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import exc

from orchestrator.sql.driver import MYSQL_OR_LENT

# What Optuna's tables (foreign keys, indexes, its migrations) and ours need.
RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "INDEX", "REFERENCES")


def lacks_right(error: exc.DBAPIError) -> bool:
    """Whether the account may not do what a statement does: MySQL's "command denied", PostgreSQL's 42501."""
    cause = error.orig
    code = cause.args[0] if cause is not None and cause.args else None
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return code in (1142, 1143, 1370) or state == "42501"


def grant_for(connection: sa.Connection, url: str) -> str:
    """The statement that gives this account the rights to create and use the tables."""
    if not url.startswith(MYSQL_OR_LENT):
        return "GRANT CREATE ON SCHEMA public TO " + str(connection.exec_driver_sql("SELECT user").scalar())
    account, database = connection.exec_driver_sql("SELECT CURRENT_USER(), DATABASE()").one()
    name, _, host = account.rpartition("@")
    return f"GRANT {', '.join(RIGHTS)} ON `{database}`.* TO '{name}'@'{host}'"
