"""SQLAlchemy's dialects of borrowed databases: a ``relay:///FILE`` in; its URL for an engine out.

Each is the dialect of the database behind, with the same SQL, on connections of ``client.py``. What a dialect
sets on a new connection, the lender has set on the real one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.mysql.mysqldb import MySQLDialect_mysqldb
from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from orchestrator.errors import StorageError
from orchestrator.relay.address import read_address
from orchestrator.relay.client import Lending, is_lost

_DRIVER = "lent_"
FIRST_WAIT_S = 30.0


class _Lent:
    """Before a dialect: connections are borrowed, and come as they are to be."""

    supports_server_side_cursors = False

    @classmethod
    def import_dbapi(cls) -> Any:
        return Lending(super().import_dbapi())  # type: ignore[misc]

    @classmethod
    def get_pool_class(cls, url: sa.URL) -> type[sa.pool.Pool]:
        return sa.pool.QueuePool

    def create_connect_args(self, url: sa.URL, *_: Any) -> tuple[list[Any], dict[str, Any]]:
        return [], {"file": url.query["file"], "wait_s": FIRST_WAIT_S}

    def on_connect(self) -> None:
        return None

    def is_disconnect(self, error: Any, connection: Any, cursor: Any) -> bool:
        return is_lost(error) or bool(super().is_disconnect(error, connection, cursor))  # type: ignore[misc]

    def _detect_charset(self, connection: Any) -> str:
        return "utf8mb4"


class LentSQLite(_Lent, SQLiteDialect_pysqlite):  # type: ignore[misc]
    """SQLite, of Python's own driver."""

    driver = _DRIVER + SQLiteDialect_pysqlite.driver
    supports_statement_cache = True


class LentMysqldb(_Lent, MySQLDialect_mysqldb):  # type: ignore[misc]
    """MySQL and MariaDB by mysqlclient."""

    driver = _DRIVER + MySQLDialect_mysqldb.driver
    supports_statement_cache = True


class LentPymysql(_Lent, MySQLDialect_pymysql):  # type: ignore[misc]
    """MySQL and MariaDB by pymysql."""

    driver = _DRIVER + MySQLDialect_pymysql.driver
    supports_statement_cache = True


_KNOWN: dict[str, type[Any]] = {
    f"{kind.name}+{kind.driver.removeprefix(_DRIVER)}": kind
    for kind in (LentSQLite, LentMysqldb, LentPymysql)
}
for _kind in _KNOWN.values():
    registry.register(f"{_kind.name}.{_kind.driver}", __name__, _kind.__name__)


def lendable(dialect: str) -> str:
    """The name of a dialect that can be lent, also of a borrowed one; ``StorageError`` for others."""
    name = dialect.replace(_DRIVER, "")
    if name not in _KNOWN:
        raise StorageError(
            f"A database of {dialect} cannot be lent to other processes; MySQL, MariaDB and SQLite can: "
            "leave out --storage-proxy (storage_proxy=True), or name another database."
        )
    return name


def engine_url(file: Path) -> str:
    """The URL of an engine on what the file's relay lends. Raises ``StorageError`` as reading it does."""
    kind = _KNOWN[lendable(read_address(file).dialect)]
    url = sa.URL.create(f"{kind.name}+{kind.driver}", query={"file": str(file)})
    return url.render_as_string(hide_password=False)
