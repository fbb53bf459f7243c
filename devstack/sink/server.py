"""The sink as an object: an SMTP server, and pages to look at the mails, in one thread of their own."""

import asyncio
import socket
import threading
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Self, TypeVar

import uvicorn

from devstack.sink.mailbox import Mail, Mailbox
from devstack.sink.receiver import Connection, Handler, Options, Traffic
from devstack.sink.script import Phase, Script
from devstack.sink.web import application

T = TypeVar("T")


class Sink:
    """A mail server that keeps what it takes. The pages start when somebody asks for their address."""

    host = "127.0.0.1"

    def __init__(self, *, port: int = 0, http_port: int = 0, options: Options | None = None) -> None:
        """Start taking mail on *port*; 0 is a free one."""
        self._options = options or Options()
        self.mailbox = Mailbox(capacity_bytes=self._options.capacity_bytes)
        self.replies = Script()
        self.traffic = Traffic()
        self._open: set[asyncio.BaseTransport] = set()
        self._http_port = http_port
        self._http: tuple[uvicorn.Server, asyncio.Task[None], int] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="smtp-sink", daemon=True)
        self._thread.start()
        self._port = port
        self._server: asyncio.Server | None = None
        self.resume()

    def __enter__(self) -> Self:
        """Return the sink."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the sink."""
        self.close()

    @property
    def port(self) -> int:
        """Return the SMTP port: the same one after a pause."""
        return self._port

    @property
    def dsn(self) -> str:
        """Return the address for a mail transport."""
        return f"smtp://{self.host}:{self.port}"

    @property
    def http_url(self) -> str:
        """Return the address of the pages, which run from the first call on."""
        if self._http is None:
            self._http = self._call(self._serve_pages())
        return f"http://{self.host}:{self._http[2]}"

    def messages(self, *, recipient: str | None = None) -> list[Mail]:
        """Return the mails, oldest first; those for *recipient* only, if one is named."""
        return self.mailbox.all(recipient=recipient)

    def wait(self, count: int = 1, *, timeout_seconds: float = 20, recipient: str | None = None) -> list[Mail]:
        """Return the mails once there are *count* of them; raise TimeoutError when they do not come."""
        return self.mailbox.wait(count, timeout_seconds=timeout_seconds, recipient=recipient)

    def script(self, recipient: str, replies: Sequence[str], *, phase: Phase | str = Phase.RCPT) -> None:
        """Answer *replies* to *recipient* (`*`: any) at *phase*, in turn; the last one repeats: see `script.py`."""
        self.replies.set(recipient, replies, phase=phase)

    def clear(self) -> None:
        """Forget mails and scripts."""
        self.mailbox.clear()
        self.replies.clear()

    def pause(self) -> None:
        """Be away as a server that is down: refuse connections, and end those that are open."""
        server, self._server = self._server, None
        if server is not None:
            self._call(self._hang_up(server))

    def resume(self) -> None:
        """Take connections again, on the same port."""
        if self._server is None:
            self._server = self._call(self._serve_smtp())
            self._port = int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Stop both servers and their thread; mails can still be read."""
        if self._loop.is_closed():
            return
        self._call(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[object, object, T]) -> T:
        """Return what *work* returns, run in our thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(15)

    async def _serve_smtp(self) -> asyncio.Server:
        handler = Handler(
            mailbox=self.mailbox,
            script=self.replies,
            traffic=self.traffic,
            login_required=bool(self._options.logins),
        )
        return await self._loop.create_server(
            lambda: Connection(handler, options=self._options, traffic=self.traffic, transports=self._open),
            self.host,
            self._port,
            backlog=512,
        )

    async def _serve_pages(self) -> tuple[uvicorn.Server, asyncio.Task[None], int]:
        listener = socket.create_server((self.host, self._http_port))
        app = application(self.mailbox, self.replies, self.traffic)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        return server, task, int(listener.getsockname()[1])

    async def _hang_up(self, server: asyncio.Server) -> None:
        server.close()
        for transport in list(self._open):
            transport.close()

    async def _shut(self) -> None:
        if self._server is not None:
            await self._hang_up(self._server)
        if self._http is not None:
            server, task, _ = self._http
            server.should_exit = True
            await task
        mine = asyncio.current_task()
        open_tasks = [task for task in asyncio.all_tasks() if task is not mine]
        for task in open_tasks:
            task.cancel()
        await asyncio.gather(*open_tasks, return_exceptions=True)
