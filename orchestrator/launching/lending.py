"""How the processes of a launch reach its database: directly, or by a relay of their agent or of rank 0.

Ranks on several nodes without a database server share the SQLite file of rank 0, which lends it; with
``storage_proxy`` rank 0 lends a database that only its node can reach. Where a run would take more than half
of a server's connections, the workers of a node share a few of their agent's.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable
from contextlib import suppress

from sqlalchemy.exc import DBAPIError

from launchers import Rank
from orchestrator.launching.launch import Launch
from orchestrator.relay.lend import N_CONNECTIONS, lend_to_other_machines, lend_to_this_machine
from orchestrator.relay.need import connections_wanted, needs_relay, room
from orchestrator.relay.relay import Relay
from orchestrator.run_handle import RunHandle
from orchestrator.scratch.study_file import leave, lend
from orchestrator.spec import RunSpec
from orchestrator.sql.opening import patiently
from orchestrator.storage.last_launch import LastLaunch

Note = Callable[[str], None]

_GUESTS_S = 60.0  # how long rank 0 waits for others to read the last of a run
_LATE_S = 20.0  # and for those to come who have not


def is_lent(spec: RunSpec, rank: Rank) -> bool:
    """Whether all ranks but 0 reach the database through rank 0."""
    is_spread = rank.size > rank.local_size
    return rank.size > 1 and (spec.storage_proxy or (is_spread and spec.storage_url is None))


class Lending:
    """The relays of one agent. They are closed by :meth:`close`, or with the process."""

    def __init__(self, launch: Launch, note: Note) -> None:
        self._launch = launch
        self._note = note
        self._to_workers: Relay | None = None

    def open(self, run: RunHandle) -> str:
        """Lend what this agent is to lend, now that the run is begun; the URL for its workers."""
        spec, rank = self._launch.spec, self._launch.rank
        if rank.index == 0 and is_lent(spec, rank):
            self._lend_to_ranks(run)
        url, patience_s = run.storage_url, spec.storage_patience_s
        wanted = connections_wanted(rank.size, spec.n_parallels)
        there = patiently(lambda: room(url), patience_s)
        why = needs_relay(wanted, there)
        if why is None or there is None:
            return url
        n_connections = max(1, min(N_CONNECTIONS, there.limit // rank.size - 1))  # one is the agent's own
        self._to_workers = patiently(lambda: lend_to_this_machine(url, n_connections), patience_s)
        self._note(f"{why}: the workers of each agent share {n_connections}.")
        return self._to_workers.url

    def _lend_to_ranks(self, run: RunHandle) -> None:
        """Until this process ends: others may read what came of the run as long as they live."""
        spec, file, url = self._launch.spec, self._launch.paths.relay, run.storage_url
        relay = patiently(lambda: lend_to_other_machines(url, file), spec.storage_patience_s)
        lend(url)
        atexit.register(_close_when_left, relay, run)
        self._note(f"Rank 0 lends the database to the other ranks ({relay.where}); keep its node.")

    def close(self) -> None:
        """No worker is left."""
        if self._to_workers is not None:
            self._to_workers.close()


def _close_when_left(relay: Relay, run: RunHandle) -> None:
    """Wait for guests to go, and a while for ranks that have not come yet: they have nobody else to ask."""
    began_s = quiet_s = time.monotonic()
    is_somebody_late = False
    with suppress(DBAPIError), run.database.hasty():
        is_somebody_late = bool(LastLaunch.of(run.database, run.run_id).absent())
    while (now_s := time.monotonic()) < began_s + _GUESTS_S:
        if relay.n_guests:
            quiet_s = now_s
        elif now_s >= quiet_s + (_LATE_S if is_somebody_late else 0.0):
            break
        time.sleep(0.1)
    relay.close()
    leave(run.storage_url)
