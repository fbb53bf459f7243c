"""A provider's HTTP API on this machine that does as it is told: it keeps what it was asked, and says what you want."""

import json
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True)
class Request:
    """What came; the names of *headers* are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def json(self) -> dict[str, Any]:
        """Return the body's object."""
        content: dict[str, Any] = json.loads(self.body)
        return content


@dataclass(frozen=True, slots=True)
class Say:
    """Answer with *status* and *body*: an object, or text that is none."""

    status: int
    body: Mapping[str, Any] | str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hangup:
    """Close the connection instead of answering; *after* is written first."""

    after: bytes = b""


@dataclass(frozen=True, slots=True)
class Silence:
    """Answer nothing until the server is closed."""


Answering = Say | Hangup | Silence


class ProviderServer:
    """Answers each request with the next of *answers*; the last one stays."""

    def __init__(self, *answers: Answering) -> None:
        """Listen on a free port of this machine."""
        self.requests: list[Request] = []
        self._answers = list(answers)
        self._lock = threading.Lock()
        self._over = threading.Event()
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def endpoint(self) -> str:
        """Return its address, percent-encoded as an option of a DSN."""
        return f"http%3A%2F%2F127.0.0.1%3A{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        """Serve."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, whoever is still waiting included."""
        self._over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()

    def answer(self, request: Request) -> Answering:
        """Return what is said to *request*."""
        with self._lock:
            self.requests.append(request)
            return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def wait_until_over(self) -> None:
        """Block until the server is closed."""
        self._over.wait()


class _Server(ThreadingHTTPServer):
    """Ends the connections that a client keeps open, so that its threads end with it."""

    daemon_threads = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._open: list[socket.socket] = []

    def get_request(self) -> tuple[socket.socket, Any]:
        accepted, address = super().get_request()
        self._open.append(accepted)
        return accepted, address

    def hang_up(self) -> None:
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    owner: ClassVar[ProviderServer]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        match self.owner.answer(Request(self.command, self.path, headers, body)):
            case Say() as say:
                self._say(say)
            case Hangup(after):
                self.wfile.write(after)
                self.close_connection = True
            case Silence():
                self.owner.wait_until_over()
                self.close_connection = True

    def _say(self, say: Say) -> None:
        content = (say.body if isinstance(say.body, str) else json.dumps(say.body)).encode()
        self.send_response(say.status)
        for name, value in {"Content-Type": "application/json", **say.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
