"""Who comes in: a listening socket in; guests who know the secret out, strangers kept outside."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import BoundedSemaphore, Thread
from typing import Any

from orchestrator.relay.handshake import lend
from orchestrator.relay.peer import require_same_user
from orchestrator.relay.wire import Wire

log = logging.getLogger("nano_hpo")

_SHOW_S = 10.0  # within which a newcomer must have shown that he knows the secret
_AT_ONCE = 256  # newcomers; more are sent away, and come again
_BACKLOG = 1024
_PAUSE_S = 0.05


@dataclass(eq=False, slots=True)
class Guest:
    """A client: its connection, and whether that has ended.

    ``asked``: the last that was heard, when it is still to be answered by somebody else than who heard it.
    """

    wire: Wire
    is_gone: bool = False
    asked: Any = None

    def hear(self, wait_s: float) -> Any:
        """What he asks for; raises as ``Wire.receive``."""
        asked, self.asked = self.asked, None
        return self.wire.receive(wait_s) if asked is None else asked


class Door:
    """Lets newcomers in, each in a thread of his own: one who says nothing keeps nobody waiting."""

    def __init__(self, listener: socket.socket, secret: bytes, lets_in: Callable[[Guest], None]) -> None:
        self._listener = listener
        self._secret = secret
        self._lets_in = lets_in
        self._room = BoundedSemaphore(_AT_ONCE)
        self._has_refused = False
        listener.listen(_BACKLOG)
        listener.setblocking(False)

    def fileno(self) -> int:
        """The listening descriptor: readable when somebody knocks."""
        return self._listener.fileno()

    def open(self) -> None:
        """Somebody knocks."""
        try:
            link, _ = self._listener.accept()
        except BlockingIOError:  # gone again
            return
        except OSError:  # no descriptor is left
            time.sleep(_PAUSE_S)
            return
        if not self._room.acquire(blocking=False):
            link.close()
            return
        try:
            Thread(target=self._examine, args=(link,), name="nano-hpo-door", daemon=True).start()
        except RuntimeError:  # no thread is to be had now
            link.close()
            self._room.release()

    def close(self) -> None:
        """Let nobody in any more."""
        self._listener.close()

    def _examine(self, link: socket.socket) -> None:
        try:
            link.settimeout(_SHOW_S)
            if link.family == socket.AF_UNIX:
                require_same_user(link)
            else:
                _notice_dead_machines(link)
            self._lets_in(Guest(Wire(link, lend(link, self._secret))))
        except OSError as error:
            link.close()
            self._say_once(error)
        finally:
            self._room.release()

    def _say_once(self, error: OSError) -> None:
        if not self._has_refused:
            self._has_refused = True
            log.warning("Somebody was not let in to the database that is lent here: %s.", error)


def _notice_dead_machines(link: socket.socket) -> None:
    """Of clients that are only connected; within a transaction their silence is noticed."""
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    with suppress(OSError, AttributeError):  # Linux
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 20)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
