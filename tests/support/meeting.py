"""Where a relay waits for the test: at a telemetry event, in the thread that tells of it, until it may go on."""

import socket
from types import TracebackType
from typing import Self


class Meeting:
    """The nth event of a name, `name:n`, of the one relay that is started with this meeting."""

    def __init__(self, place: str) -> None:
        """Listen."""
        self.place = place
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._relay: socket.socket | None = None

    def wait(self, *, timeout_seconds: float = 60) -> None:
        """Return once the relay is there: it does nothing more in that thread."""
        self._listener.settimeout(timeout_seconds)
        self._relay, _ = self._listener.accept()

    def go_on(self) -> None:
        """Let the relay go on, if it is there."""
        if self._relay is not None:
            self._relay.close()
            self._relay = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.go_on()
        self._listener.close()
