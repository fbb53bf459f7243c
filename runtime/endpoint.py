"""/metrics, /livez and /readyz of one process, served by a thread beside its work."""

import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from runtime.errors import EndpointError

_TEXT = "text/plain; charset=utf-8"
Page = tuple[int, str, bytes]


class Endpoint:
    """An HTTP server that answers as long as the process lives; *live* and *ready* are asked at every request."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        registry: CollectorRegistry,
        live: Callable[[], bool],
        ready: Callable[[], tuple[bool, str]],
    ) -> None:
        """Make one that does not listen yet; *port* 0 takes a free one."""
        self._host, self._port = host, port
        self._registry, self._live, self._ready = registry, live, ready
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> int:
        """Listen, and return the port."""
        try:
            self._server = _Server((self._host, self._port), self._handler())
        except (OSError, OverflowError) as problem:
            error = EndpointError(self._host, self._port, getattr(problem, "strerror", None) or str(problem))
            error.add_note("set OUTBOX_METRICS_PORT to another port, 0 for a free one, or leave it out for no endpoint")
            raise error from problem
        self._thread = threading.Thread(target=self._server.serve_forever, name="endpoint", daemon=True)
        self._thread.start()
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """Stop listening; harmless when it never started."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = self._thread = None

    def page(self, path: str, accept: str) -> Page:
        """Return status, content type and body for *path*."""
        match path.partition("?")[0]:
            case "/metrics":
                encode, content_type = choose_encoder(accept)
                return HTTPStatus.OK, content_type, encode(self._registry)
            case "/livez":
                return _verdict(good=self._live(), text="live")
            case "/readyz":
                good, text = self._ready()
                return _verdict(good=good, text=text)
            case _:
                return HTTPStatus.NOT_FOUND, _TEXT, b"expected /metrics, /livez or /readyz\n"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, content_type, body = endpoint.page(self.path, self.headers.get("Accept", ""))
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Stay silent: a probe every few seconds would drown the log."""

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # a scraper that hangs must not keep the process from ending

    def handle_error(self, _request: object, _client_address: object) -> None:
        """Stay silent: a scraper that hung up is not our failure, and tracebacks on stderr are not log lines."""


def _verdict(*, good: bool, text: str) -> Page:
    status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
    return status, _TEXT, f"{text if good or text != 'live' else 'not live'}\n".encode()
