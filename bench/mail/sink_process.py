"""`python -m bench.mail.sink_process DELAY`: a mail server that takes everything, and asks for little of the machine.

It says what the sink of `devstack` says, word for word, keeps no mail, and notes when mails were accepted. Each reply
comes DELAY seconds after its command, or after the reply before it: pipelined commands are answered one by one too.

It prints the ports for mail and for questions. A question is a line, `begin` or `report`; the answer is a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field

from devstack.sink.receiver import HOST_NAME

END = b"\r\n.\r\n"
# Mails to such recipients are noted one by one.
MARKED = b"marked-"
GREETING = f"220 {HOST_NAME} outbox sink\r\n".encode()
_OFFERED = ("SIZE 33554432", "8BITMIME", "SMTPUTF8", "AUTH LOGIN PLAIN")
EHLO = "".join(f"250-{line}\r\n" for line in (HOST_NAME, *_OFFERED)).encode() + b"250 HELP\r\n"
REPLIES = {
    b"MAIL": b"250 2.1.0 OK\r\n",
    b"RCPT": b"250 2.1.5 OK\r\n",
    b"DATA": b"354 end with <CR><LF>.<CR><LF>\r\n",
    b"RSET": b"250 OK\r\n",
    b"NOOP": b"250 OK\r\n",
    b"EHLO": EHLO,
    b"HELO": f"250 {HOST_NAME}\r\n".encode(),
}
KEPT, BYE = b"250 2.0.0 kept\r\n", b"221 Bye\r\n"


@dataclass(slots=True)
class Tally:
    """What was accepted since it was last asked to begin, by the clock that all processes share."""

    accepted: int = 0
    connections: int = 0
    first: float = 0.0
    last: float = 0.0
    marked: dict[str, float] = field(default_factory=dict)

    def accept(self, marked: str | None) -> None:
        """Note one mail."""
        self.last = time.monotonic()
        self.first = self.first or self.last
        self.accepted += 1
        if marked is not None:
            self.marked[marked] = self.last

    def begin(self) -> None:
        """Forget."""
        self.accepted, self.connections, self.first, self.last = 0, 0, 0.0, 0.0
        self.marked.clear()

    def shown(self) -> bytes:
        """Return it as JSON."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__}).encode()


class Conversation(asyncio.Protocol):
    """One client. Not a line is parsed that need not be."""

    def __init__(self, tally: Tally, delay: float) -> None:
        """Note what is taken in *tally*, and let each reply wait for *delay* seconds."""
        self._tally, self._delay = tally, delay
        self._received = bytearray()
        self._in_message = False
        self._marked: str | None = None
        self._answered_at = 0.0
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101  a socket's
        self._transport = transport
        self._tally.connections += 1
        self._reply(GREETING)

    def data_received(self, data: bytes) -> None:
        """Answer every command that is whole, and every message."""
        self._received += data
        replies = []
        while (reply := self._next()) is not None:
            replies.append(reply)
        if self._delay:
            for reply in replies:
                self._reply(reply)
        elif replies:
            self._write(b"".join(replies))

    def _next(self) -> bytes | None:
        if self._in_message:
            return self._message()
        end = self._received.find(b"\r\n")
        if end < 0:
            return None
        line = bytes(self._received[:end])
        word = line[:4].upper()
        # Before a message, its first line's end stays: the dot of an empty message follows it.
        self._in_message = word == b"DATA"
        del self._received[: end if self._in_message else end + 2]
        if word == b"RCPT" and MARKED in line:
            self._marked = line.partition(b"<")[2].partition(b">")[0].decode()
        return (
            BYE
            if word == b"QUIT"
            else REPLIES.get(word) or b'500 Error: command "%b" not recognized\r\n' % line.partition(b" ")[0]
        )

    def _message(self) -> bytes | None:
        end = self._received.find(END)
        if end < 0:
            return None
        del self._received[: end + len(END)]
        self._in_message = False
        marked, self._marked = self._marked, None
        if not self._delay:
            self._tally.accept(marked)
            return KEPT
        # It counts when the answer leaves, which is behind those that were promised before.
        self._loop.call_at(max(self._loop.time(), self._answered_at) + self._delay, self._tally.accept, marked)
        return KEPT

    def _reply(self, reply: bytes) -> None:
        if not self._delay:
            self._write(reply)
            return
        self._answered_at = max(self._loop.time(), self._answered_at) + self._delay
        self._loop.call_at(self._answered_at, self._write, reply)

    def _write(self, reply: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(reply)
            if reply.endswith(BYE):
                self._transport.close()


async def _answer(tally: Tally, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        if line.strip() == b"begin":
            tally.begin()
        writer.write(tally.shown() + b"\n")
        await writer.drain()
    writer.close()


async def _serve(delay: float) -> None:
    tally, loop = Tally(), asyncio.get_running_loop()
    mail = await loop.create_server(lambda: Conversation(tally, delay), "127.0.0.1", 0, backlog=512)
    questions = await asyncio.start_server(lambda r, w: _answer(tally, r, w), "127.0.0.1", 0)
    print(*(server.sockets[0].getsockname()[1] for server in (mail, questions)), flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Take mail until told to stop."""
    asyncio.run(_serve(float(sys.argv[1])))


if __name__ == "__main__":
    main()
