"""Optuna's dashboard over a storage of ours: an open storage and an address in; a server until Ctrl-C out.

The storage is opened here and handed over as an object: the dashboard's own command would want the URL,
password and all, among its arguments.
"""

from __future__ import annotations

import signal
import warnings
from socket import AF_INET, AF_INET6
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from orchestrator.errors import SpecError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

_ANY_ADDRESS = ("", "0.0.0.0", "::")


class DashboardServer:
    """A server that listens already; :meth:`serve` answers until it is interrupted.

    It asks for no password: who reaches the port can read and change all studies.
    """

    def __init__(self, storage: BaseStorage, host: str, port: int) -> None:
        app = _application(storage)
        self._server = _listening(host, port)
        self._server.set_app(app)
        self._host = host

    @property
    def port(self) -> int:
        """The one that was asked for; for 0 the one that was free."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it."""
        host = "127.0.0.1" if self._host in _ANY_ADDRESS else self._host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def serve(self) -> None:
        """Answer requests until Ctrl-C or SIGTERM, in the main thread; the port is free again afterwards.

        Both are caught also where a shell had them ignored, as for jobs in the background of a script.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        try:
            self._server.serve_forever()
        except KeyboardInterrupt:
            pass
        finally:
            self._server.server_close()


class _Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = True  # a browser that keeps its connection open does not hold up the end

    def server_bind(self) -> None:
        """Does not wait for a name service to tell this machine's name, which nobody needs here."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """A line for each request would hide what matters."""


def _application(storage: BaseStorage) -> Any:
    """Refuses with one line where the dashboard is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # experimental parts, which nobody here asks for
            from optuna_dashboard import wsgi
    except ImportError as error:
        raise SpecError(
            f"The dashboard is not installed ({error}): pip install optuna-dashboard, in this environment."
        ) from None
    return wsgi(storage)


def _listening(host: str, port: int) -> _Threaded:
    if not 0 <= port < 1 << 16:
        raise SpecError(f"--port is {port}; it must be a number from 0 (any free one) to 65535.")

    class Server(_Threaded):
        address_family = AF_INET6 if ":" in host else AF_INET

    try:
        return Server((host, port), _Silent)
    except OSError as error:
        raise SpecError(
            f"Port {port} of {host or 'this machine'} cannot be listened on ({error.strerror}); give another "
            "--port (0: any free one) or --host."
        ) from None
