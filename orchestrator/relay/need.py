"""Connections to a server: the width of a run and the server's limits in; whether it needs a relay out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from orchestrator.sql.asking import asked

_RESERVED = 3  # left to administrators
_OWN = "COUNT(*) FROM information_schema.processlist WHERE user = SUBSTRING_INDEX(USER(), '@', 1)"


@dataclass(frozen=True, slots=True)
class Room:
    """A server's limits and what is taken of them, but for the connection that has asked.

    ``max_user_connections`` is this account's; None: it has no limit of its own.
    """

    max_connections: int
    max_user_connections: int | None
    in_use: int
    in_use_by_user: int

    @property
    def limit(self) -> int:
        """Connections that this account could have at most."""
        limits = (self.max_connections - _RESERVED, self.max_user_connections)
        return max(0, min(limit for limit in limits if limit is not None))

    @property
    def left(self) -> int:
        """Connections that it could open now."""
        left = self.max_connections - _RESERVED - self.in_use
        if self.max_user_connections is not None:
            left = min(left, self.max_user_connections - self.in_use_by_user)
        return max(0, left)


def connections_wanted(n_ranks: int, n_parallels: int) -> int:
    """Connections of a run without a relay: one for each agent, and one for each worker."""
    return n_ranks * (n_parallels + 1)


def room(url: str) -> Room | None:
    """The room that a MySQL or MariaDB server has; None for databases without such limits."""
    return asked(url, _room)


def _room(c: sa.Connection) -> Room | None:
    if c.dialect.name != "mysql" or c.dialect.driver.startswith("lent_"):
        return None

    def number(expression: str) -> int:
        found: Any = c.exec_driver_sql(f"SELECT {expression}").scalar()
        return int(found)

    _, connected = c.exec_driver_sql("SHOW GLOBAL STATUS LIKE 'Threads_connected'").one()
    of_account = number("@@max_user_connections")
    return Room(number("@@max_connections"), of_account or None, int(connected) - 1, number(_OWN) - 1)


def needs_relay(wanted: int, room: Room | None) -> str | None:
    """Why so many connections are too many, as a line; None: they are not.

    More than half of what the account may have are: others have a right to the rest, and a restarted agent
    comes while the server still keeps the connections of the lost one.
    """
    if room is None:
        return None
    if wanted > room.limit // 2:
        return f"{wanted} connections would be more than half of the {room.limit} that the server allows"
    if wanted > room.left:
        return f"{wanted} connections would be more than the {room.left} that the server has left"
    return None
