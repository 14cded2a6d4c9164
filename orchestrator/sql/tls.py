"""TLS for MySQL and MariaDB: words of a URL and of an option file in; what each driver wants to hear out.

Where a server offers no TLS, mysqlclient on MariaDB's client library 3.3 gives plain text without a word, for
``ssl_mode=REQUIRED`` and for certificates alike (tried). So a connection for which TLS was asked is looked at
before it is used (:func:`require_cipher`).
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import StorageError

MODES = ("DISABLED", "PREFERRED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY")
_FILES = ("ca", "capath", "cert", "key", "cipher")
_OFF = ("0", "off", "false", "no")


@dataclass(frozen=True, slots=True)
class Tls:
    """What was asked for: MySQL's mode (None: not said), and files by their short names."""

    mode: str | None
    files: Mapping[str, str]
    is_flagged: bool = False  # by a driver's own word

    @property
    def is_required(self) -> bool:
        """Whether a connection without TLS must not be used. Certificates alone ask for it as well."""
        if self.mode is None:
            return bool(self.files) or self.is_flagged
        return self.mode not in ("DISABLED", "PREFERRED")


def tls_of(query: Mapping[str, Any], options: Mapping[str, str]) -> Tls:
    """What the query of a URL asks for and, where that says nothing, an option file."""
    mode = query.get("ssl_mode") or options.get("ssl-mode")
    if mode is not None and mode.upper() not in MODES:
        raise StorageError(f"ssl_mode is '{mode}'; choose from {', '.join(MODES)}.")
    files = {
        name: query.get(f"ssl_{name}") or options[f"ssl-{name}"]
        for name in _FILES
        if query.get(f"ssl_{name}") or options.get(f"ssl-{name}")
    }
    flags = [
        *(str(query.get(name, "0")) for name in ("ssl", "ssl_verify_cert", "ssl_verify_identity")),
        *(options.get(name, "0") for name in ("ssl", "ssl-enforce", "ssl-verify-server-cert")),
    ]
    return Tls(mode.upper() if mode else None, files, any(flag.lower() not in _OFF for flag in flags))


def without_tls(query: Mapping[str, Any]) -> dict[str, Any]:
    """The query without the words that :func:`tls_of` has taken from it."""
    taken = {"ssl_mode", *(f"ssl_{name}" for name in _FILES)}
    return {name: value for name, value in query.items() if name not in taken}


def driver_arguments(driver: str, tls: Tls) -> dict[str, Any]:
    """The arguments of ``connect`` of mysqlclient ("mysqldb") or pymysql; other drivers get mysqlclient's."""
    if driver == "pymysql":
        return _of_pymysql(tls)
    arguments: dict[str, Any] = {}
    if tls.mode is not None:
        arguments["ssl_mode"] = tls.mode
    if tls.files or (tls.mode is not None and tls.is_required):
        arguments["ssl"] = dict(tls.files)  # though empty: it asks MariaDB's library for TLS as well
    return arguments


def _of_pymysql(tls: Tls) -> dict[str, Any]:
    if tls.mode == "DISABLED":
        return {"ssl_disabled": True}
    if tls.mode is None or not tls.is_required:
        return {"ssl": dict(tls.files)} if tls.files else {}
    return {"ssl": _context(tls)}


def _context(tls: Tls) -> ssl.SSLContext:
    """As MySQL means its modes: REQUIRED without a CA trusts anybody, VERIFY_IDENTITY wants the name too."""
    context = ssl.create_default_context(cafile=tls.files.get("ca"), capath=tls.files.get("capath"))
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # MySQL's self-made certificates lack what it wants
    context.check_hostname = tls.mode == "VERIFY_IDENTITY"
    if tls.mode == "REQUIRED" and not {"ca", "capath"} & tls.files.keys():
        context.verify_mode = ssl.CERT_NONE
    if "cert" in tls.files:
        context.load_cert_chain(tls.files["cert"], tls.files.get("key"))
    if "cipher" in tls.files:
        context.set_ciphers(tls.files["cipher"])
    return context


def cipher_of(connection: Any) -> str:
    """The cipher of a driver's connection; empty for plain text."""
    cursor = connection.cursor()
    try:
        cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
        row = cursor.fetchone()
        return str(row[1]) if row else ""
    finally:
        cursor.close()


def require_cipher(connection: Any, _record: Any) -> None:
    """Refuse a new connection of a driver that is plain text, although TLS was asked for."""
    if not cipher_of(connection):
        connection.close()
        raise StorageError(
            "The server offers no TLS, which the storage asks for (ssl_… in its URL or option file). Ask its "
            "administrator for TLS, or leave ssl_… out."
        )
