"""Listen, say where, and serve until a signal."""

import contextlib
import signal
import socket
from collections.abc import Iterator

import structlog
import uvicorn

from console.settings import ConsoleSettings
from console.web.application import make
from console.web.guard import Guard
from runtime.errors import EndpointError


def serve(settings: ConsoleSettings, *, host: str, port: int) -> None:
    """Serve the console on *host* and *port*; raise EndpointError when they are not to be had."""
    guard = Guard.of(settings, host=host)
    with _listen(host, port) as listener:
        config = uvicorn.Config(
            make(settings, guard),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        url = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}/"
        _Server(config, url=url, read_only=guard.password is None).run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, *, url: str, read_only: bool) -> None:
        super().__init__(config)
        self._facts = {"url": url, "read_only": read_only}

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve, then say so: whoever reads the line may ask, and may send a signal."""
        await super().startup(sockets)
        structlog.get_logger("console").info("console.web.started", **self._facts)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let a signal end the server and nothing more: uvicorn's own raises it again, and the exit code were 143."""
        former = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as problem:
        error = EndpointError(host, port, problem.strerror or str(problem))
        error.add_note("set OUTBOX_CONSOLE_HOST and OUTBOX_CONSOLE_PORT; port 0 takes a free one")
        raise error from problem
