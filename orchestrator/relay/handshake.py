"""Both ends of a connection show that they know a secret: a fresh socket and the secret in; two keys out.

Until then nothing that a stranger sends is looked into: all is of a fixed length, and compared as a whole.
Neither side can be used to answer for the other, and what was said once is of no use again::

    lender   →  32 random bytes
    borrower →  32 random bytes, HMAC(secret, "borrower", both)
    lender   →  HMAC(secret, "lender", both)

The keys, one for each direction, are made of the same; messages are signed with them (``wire.py``).
"""

from __future__ import annotations

import hmac
import secrets
import socket
from dataclasses import dataclass

_N = 32  # bytes, of a challenge and of SHA-256
_GREETING = b"nano-hpo relay 1\n"


class StrangerError(ConnectionError):
    """The other side does not know the secret, or speaks another language."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What is said is signed with ``says``, and what is heard must be signed with ``hears``."""

    says: bytes
    hears: bytes


def lend(link: socket.socket, secret: bytes) -> Keys:
    """The lender's side. Raises ``StrangerError``, and ``OSError`` when the socket's time is over."""
    mine = secrets.token_bytes(_N)
    link.sendall(_GREETING + mine)
    theirs = receive_exactly(link, _N)
    _require(receive_exactly(link, _N), secret, b"borrower", mine + theirs)
    link.sendall(_sign(secret, b"lender", mine + theirs))
    return Keys(_sign(secret, b"answers", mine + theirs), _sign(secret, b"requests", mine + theirs))


def borrow(link: socket.socket, secret: bytes) -> Keys:
    """The borrower's side; likewise."""
    if receive_exactly(link, len(_GREETING)) != _GREETING:
        raise StrangerError("something else listens there")
    both = receive_exactly(link, _N) + (mine := secrets.token_bytes(_N))
    link.sendall(mine + _sign(secret, b"borrower", both))
    _require(receive_exactly(link, _N), secret, b"lender", both)
    return Keys(_sign(secret, b"requests", both), _sign(secret, b"answers", both))


def receive_exactly(link: socket.socket, size: int) -> bytes:
    """So many bytes; ``StrangerError`` when the other side has gone before."""
    parts, left = [], size
    while left:
        part = link.recv(min(left, 1 << 20))
        if not part:
            raise StrangerError("the other side has gone")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _sign(secret: bytes, role: bytes, both: bytes) -> bytes:
    return hmac.digest(secret, role + b"\0" + both, "sha256")


def _require(proof: bytes, secret: bytes, role: bytes, both: bytes) -> None:
    if not hmac.compare_digest(proof, _sign(secret, role, both)):
        raise StrangerError("the other side does not know the secret")
