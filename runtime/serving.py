"""Serve an ASGI application: listen, say where, and serve until a signal."""

import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from runtime.errors import EndpointError


def serve(application: Any, *, host: str, port: int, settings: str, started: Callable[[str], None]) -> None:  # noqa: ANN401 - ASGI
    """Serve *application*; *started* is told the URL. Raise EndpointError, which names *settings*, if it cannot."""
    with _listen(host, port, settings) as listener:
        config = uvicorn.Config(
            application,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        url = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}/"
        _Server(config, started=lambda: started(url)).run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, *, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve, then say so: whoever reads the line may ask, and may send a signal."""
        await super().startup(sockets)
        self._tell()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let a signal end the server and nothing more: uvicorn's own raises it again, and the exit code were 143."""
        former = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)


def _listen(host: str, port: int, settings: str) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as problem:
        error = EndpointError(host, port, problem.strerror or str(problem))
        error.add_note(f"set {settings}; port 0 takes a free one")
        raise error from problem
