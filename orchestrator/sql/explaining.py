"""What a database or its driver raised: a storage URL and an action in; what it returns, or one line, out."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import optuna
from sqlalchemy import exc

from orchestrator.errors import StorageError
from orchestrator.sql.failures import is_passing, said
from orchestrator.sql.unreachable import way_out
from orchestrator.storage_url import masked, scrubbed

T = TypeVar("T")

_HINTS: dict[object, str] = {
    1040: ". See `nano-hpo doctor --storage URL` for its limit",
    1044: ". The account may not use this database: see `nano-hpo db grant`",
    1045: ". See user, password and option file",
    1049: ". Create it: CREATE DATABASE … CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    1226: ". See `nano-hpo doctor --storage URL` for the limits of the account",
}


def explained(url: str, action: Callable[[], T]) -> T:
    """Run ``action``; what a database or its driver says becomes a ``StorageError`` of one line."""
    try:
        return action()
    except ImportError as error:
        raise StorageError(f"Storage {masked(url)} needs a driver: {_driver_hint(url)}.") from error
    except ValueError:  # its text may repeat any part of the URL
        raise StorageError(
            f"Storage {masked(url)} is no URL of a database: see host, port and options."
        ) from None
    except (exc.SQLAlchemyError, optuna.exceptions.OptunaError, RuntimeError, TypeError, OSError) as error:
        said_safely = scrubbed(said(error), url)
        raise StorageError(
            f"Storage {masked(url)} cannot be used: {said_safely}{_hint(url, error)}",
            is_passing=isinstance(error, exc.DBAPIError) and is_passing(error),
        ) from None


def _hint(url: str, error: BaseException) -> str:
    """The next step, for what people meet most."""
    cause = getattr(error, "orig", None)
    code = cause.args[0] if cause is not None and cause.args else None
    if code in _HINTS:
        return _HINTS[code]
    return (_socket_hint(url) if code in (2002, 2003) else "") or way_out(url, error)


def _socket_hint(url: str) -> str:
    """MySQL's client library takes the host «localhost» for the default socket and ignores the port."""
    if not re.match(r"(mysql|mariadb)(\+mysqldb)?://([^/?]*@)?localhost:\d+", url):
        return ""
    return (
        ". 'localhost' means the default socket whatever the port; write 127.0.0.1, or add ?unix_socket=FILE"
    )


def _driver_hint(url: str) -> str:
    if url.startswith(("mysql", "mariadb")):
        return "pip install 'nano-hpo[mysql]' (mysqlclient; on Debian with libmariadb-dev and pkg-config)"
    if url.startswith("postgresql"):
        return "pip install 'psycopg[binary]' (or psycopg2-binary, with postgresql+psycopg2://…)"
    return "see SQLAlchemy's dialects"
