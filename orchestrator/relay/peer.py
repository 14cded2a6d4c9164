"""Who is at the other end of a Unix socket: a connected socket in; nothing, or an error, out."""

from __future__ import annotations

import os
import socket
import struct

from orchestrator.relay.handshake import StrangerError

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED


def require_same_user(link: socket.socket) -> None:
    """Refuse a process of another user, ``root`` as well: it has no business here."""
    found = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(found)
    if uid != os.geteuid():
        raise StrangerError(f"user {uid} is at the other end")
