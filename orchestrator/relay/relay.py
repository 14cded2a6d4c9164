"""A database lent to others: a storage URL and a place to listen in; a relay that serves until it is closed.

One thread listens: to newcomers, to guests who begin a transaction, and to guests who hang up, whatever is
done for them at that moment. A guest with a transaction is with a lender (``lender.py``); there are as many
threads as real connections, however many guests there are.
"""

from __future__ import annotations

import logging
import os
import select
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from types import TracebackType

from orchestrator.relay.address import Address
from orchestrator.relay.desk import Desk
from orchestrator.relay.door import Door, Guest
from orchestrator.relay.source import Source
from orchestrator.storage_url import relay_url

log = logging.getLogger("nano_hpo")

_CLOSE_S = 5.0
_HUNG_UP = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_ASKS = select.EPOLLIN | select.EPOLLRDHUP


class Relay:
    """Lends the database of a source on a bound socket. ``file`` is where its address is written."""

    def __init__(
        self,
        source: Source,
        listener: socket.socket,
        address: Address,
        file: Path,
        n_connections: int,
        hang_s: float,
        idle_s: float,
        is_closed: Callable[[], None],
    ) -> None:
        self._file = file
        self._is_closed = is_closed
        self._address = address
        self._lock = Lock()
        self._guests: dict[int, Guest] = {}
        self._graves: list[Guest] = []  # whose descriptors may be named in what the kernel told us last
        self._is_closing = False
        self._desk = Desk(source, n_connections, hang_s, idle_s, self._take_back)
        self._door = Door(listener, address.key, self._let_in)
        self._poll = select.epoll()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll.register(self._bell, select.EPOLLIN)
        self._poll.register(self._door.fileno(), select.EPOLLIN)
        self._thread = Thread(target=self._listen, name="nano-hpo-relay", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The storage URL for others: it names the address file, and holds no secret."""
        return relay_url(self._file)

    @property
    def where(self) -> str:
        """Where it listens, for people."""
        return self._address.where

    @property
    def n_guests(self) -> int:
        """Clients that are connected now."""
        with self._lock:
            return len(self._guests)

    @property
    def n_connections(self) -> int:
        """Real connections that are open now."""
        return self._desk.n_connections

    def __enter__(self) -> Relay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lend no more: transactions are undone, clients hear that the connection is lost, the file goes."""
        if self._is_closing:
            return
        self._is_closing = True
        self._address.remove(self._file)
        os.eventfd_write(self._bell, 1)
        self._thread.join(_CLOSE_S)
        self._desk.close(_CLOSE_S)
        self._bury()
        self._poll.close()
        os.close(self._bell)
        self._is_closed()

    def _let_in(self, guest: Guest) -> None:
        with self._lock:
            if self._is_closing:
                guest.wire.hang_up()
                guest.wire.close()
                return
            self._guests[guest.wire.fileno()] = guest
            self._poll.register(guest.wire.fileno(), _ASKS)

    def _listen(self) -> None:
        try:
            while not self._is_closing:
                self._bury()
                for number, what in self._poll.poll(1.0):
                    if number == self._door.fileno():
                        self._door.open()
                    else:
                        self._hear(number, what)
        except Exception:  # a bug of ours: rather no relay than one that says nothing
            log.exception("The relay has failed")
        finally:
            self._shut()

    def _hear(self, number: int, what: int) -> None:
        with self._lock:
            guest = self._guests.get(number)
            if guest is None or guest.is_gone:
                return
            if what & _HUNG_UP:
                self._poll.unregister(number)
                if self._desk.has_gone(guest):
                    self._leave(guest)
            elif what & select.EPOLLIN:
                self._poll.modify(number, select.EPOLLRDHUP)
                self._desk.queue(guest)

    def _take_back(self, guest: Guest) -> None:
        """His transaction has ended: listen to him again."""
        with self._lock:
            if guest.is_gone or self._is_closing:
                self._leave(guest)
            elif guest.wire.has_more:  # he did not wait for an answer
                self._desk.queue(guest)
            else:
                self._poll.modify(guest.wire.fileno(), _ASKS)

    def _leave(self, guest: Guest) -> None:
        """He has gone. The lock is held."""
        guest.is_gone = True
        number = guest.wire.fileno()
        if self._guests.pop(number, None) is not None:
            with suppress(OSError, ValueError):
                self._poll.unregister(number)
            guest.wire.hang_up()
            self._graves.append(guest)

    def _bury(self) -> None:
        """Give descriptors back: nothing that the kernel has told us is about them any more."""
        with self._lock:
            graves, self._graves = self._graves, []
        for guest in graves:
            guest.wire.close()

    def _shut(self) -> None:
        """Send everybody away. Lenders notice, undo what they are at, and are waited for by the closer."""
        self._is_closing = True
        self._door.close()
        with self._lock:
            for guest in list(self._guests.values()):
                guest.is_gone = True
                guest.wire.hang_up()
                if self._desk.has_gone(guest):
                    self._leave(guest)
