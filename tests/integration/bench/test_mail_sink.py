"""The sink of the mail benches says what the sink of the devstack says, so that it is as good a mail server."""

import socket

from bench.mail.sink import sink
from devstack.sink.server import Sink

LINES = (
    b"EHLO me",
    b"MAIL FROM:<a@example.com> SIZE=10",
    b"RCPT TO:<marked-1@example.com>",
    b"DATA",
    b"x\r\n.",
    b"NOOP",
    b"MAIL FROM:<a@example.com>",
    b"RSET",
    b"NONE",
    b"QUIT",
)


def _talk(port: int) -> list[bytes]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection, connection.makefile("rb") as replies:
        said = [_reply(replies.readline, b"")]
        for line in LINES:
            connection.sendall(line + b"\r\n")
            said.append(_reply(replies.readline, line))
        return said


def _reply(readline: object, line: bytes) -> bytes:
    assert callable(readline)
    reply = b""
    while True:
        found: bytes = readline()
        assert found, f"no reply to {line!r}"
        reply += found
        if found[3:4] != b"-":
            return reply


def test_it_answers_as_the_sink_of_the_devstack() -> None:
    with Sink() as real, sink() as lean:
        assert _talk(lean.port) == _talk(real.port)


def test_it_counts_what_it_accepts_and_notes_marked_recipients() -> None:
    with sink() as lean:
        _talk(lean.port)
        found = lean.wait(1)
        assert (found.accepted, found.connections, set(found.marked)) == (1, 1, {"marked-1@example.com"})
        lean.begin()
        assert lean.report().accepted == 0


def test_each_reply_of_a_slow_one_takes_its_time_and_so_do_pipelined_ones() -> None:
    with sink(delay=0.05) as slow:
        _talk(slow.port)
        found = slow.wait(1)
        assert found.last - found.first == 0  # one mail
        address = ("127.0.0.1", slow.port)
        with socket.create_connection(address, timeout=20) as connection, connection.makefile("rb") as replies:
            replies.readline()
            connection.sendall(b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nx\r\n.\r\n")
            assert [replies.readline()[:3] for _ in range(4)] == [b"250", b"250", b"354", b"250"]
        assert slow.wait(2).last - found.last >= 5 * 0.05
