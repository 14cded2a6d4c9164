"""Whole messages over a socket: values in, values out, each signed with the keys of the handshake.

A message is its length, its signature and its bytes. The signature counts the messages of its direction: one
that somebody on the way has changed, repeated or put in is not taken, and ends the connection. Nothing is
encrypted.
"""

from __future__ import annotations

import hashlib
import hmac
import socket
import struct
from contextlib import suppress
from typing import Any

from orchestrator.relay.handshake import Keys
from orchestrator.relay.values import decoded, encoded

_HEAD = struct.Struct("!Q16s")  # length, signature
_LONGEST = 1 << 32
_CHUNK, _LARGE_CHUNK = 1 << 16, 1 << 20  # an allocation from 128 KiB on costs as much as a whole trip
_TIMEVAL = struct.Struct("ll")  # seconds, microseconds: socket(7)


class LinkLost(Exception):
    """The other side has gone, says nothing, or says what it cannot have said."""


class Wire:
    """One end of an authenticated connection; used by one thread at a time; of no use after ``LinkLost``.

    The kernel watches over the time that it waits: Python's own limits cost two more calls for each message.
    """

    def __init__(self, link: socket.socket, keys: Keys) -> None:
        link.settimeout(None)
        self._link = link
        self._keys = keys
        self._n_said = self._n_heard = 0
        self._wait_s: float | None = None
        self._heard = b""

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._link.fileno()

    @property
    def has_more(self) -> bool:
        """Whether something was heard already that comes after the last message."""
        return bool(self._heard)

    def send(self, message: Any, wait_s: float) -> None:
        """Say something; ``TypeError`` for what cannot travel, and then nothing was said."""
        data = encoded(message)
        signature = _signature(self._keys.says, self._n_said, data)
        self._n_said += 1
        try:
            self._limit(wait_s)
            self._link.sendall(_HEAD.pack(len(data), signature) + data)
        except OSError as error:
            raise _lost(error, wait_s) from None

    def receive(self, wait_s: float) -> Any:
        """What the other side says next; it may be silent for so many seconds."""
        try:
            self._limit(wait_s)
            self._hear(_HEAD.size)
            length, signature = _HEAD.unpack_from(self._heard)
            if length > _LONGEST:
                raise LinkLost(f"a message of {length} bytes")
            self._hear(end := _HEAD.size + length)
        except OSError as error:
            raise _lost(error, wait_s) from None
        data, self._heard = self._heard[_HEAD.size : end], self._heard[end:]
        return self._believed(data, signature)

    def _hear(self, size: int) -> None:
        """Hear so many bytes at least."""
        if len(self._heard) >= size:
            return
        parts, left = [self._heard], size - len(self._heard)
        while left > 0:
            part = self._link.recv(min(max(left, _CHUNK), _LARGE_CHUNK))
            if not part:
                raise LinkLost("the other side has gone")
            parts.append(part)
            left -= len(part)
        self._heard = b"".join(parts)

    def _believed(self, data: bytes, signature: bytes) -> Any:
        if not hmac.compare_digest(signature, _signature(self._keys.hears, self._n_heard, data)):
            raise LinkLost("a message that somebody else has signed")
        self._n_heard += 1
        try:
            return decoded(data)
        except ValueError as error:
            raise LinkLost(str(error)) from None

    def _limit(self, wait_s: float) -> None:
        if wait_s != self._wait_s:
            self._wait_s = wait_s
            limit = _TIMEVAL.pack(int(wait_s), max(1, int(wait_s % 1 * 1e6)))
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                self._link.setsockopt(socket.SOL_SOCKET, option, limit)

    def hang_up(self) -> None:
        """Tell the other side, and whoever waits for it here, that this is over; the descriptor stays."""
        with suppress(OSError):
            self._link.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the descriptor back. In a forked child this leaves the parent's connection as it is."""
        self._link.close()


def _lost(error: OSError, wait_s: float) -> LinkLost:
    is_late = isinstance(error, BlockingIOError)
    return LinkLost(f"no answer for {wait_s:g} s" if is_late else str(error))


def _signature(key: bytes, number: int, data: bytes) -> bytes:
    return hashlib.blake2b(number.to_bytes(8) + data, key=key, digest_size=16).digest()
