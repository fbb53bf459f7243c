"""A mail server that takes one message and answers its final dot only when the test says so."""

import socket
import threading
from types import TracebackType
from typing import Self


class SlowServer:
    """`reached` is set once the whole message is there; the reply to its dot waits for `answer`."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.reached = threading.Event()
        self.answer = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="slow-server", daemon=True)
        self._thread.start()

    @property
    def dsn(self) -> str:
        return f"smtp://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.answer.set()
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection, connection.makefile("rwb") as stream:
            stream.write(b"220 slow.example\r\n")
            stream.flush()
            message = False
            for line in stream:
                if message and line != b".\r\n":
                    continue
                if message:
                    self.reached.set()
                    self.answer.wait(60)
                message = not message and line.upper().startswith(b"DATA")
                stream.write(b"354 go on\r\n" if message else b"250 2.0.0 ok\r\n")
                stream.flush()
