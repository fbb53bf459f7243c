"""`python -m bench.mail.client_process PORT CONNECTIONS MAILS`: a bare SMTP client, for what the sink can take at most.

One thread, all connections at once, the bytes made before: nothing is parsed but the number of replies.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time

MAIL = b"MAIL FROM:<no-reply@example.com> SIZE=6000\r\n"
RCPT = b"RCPT TO:<user@example.com>\r\n"
MESSAGE = b"Subject: bench\r\n\r\n" + b"x" * 74 + b"\r\n"
STEPS = (MAIL, RCPT, b"DATA\r\n", MESSAGE * 80 + b".\r\n")


def _opened(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.recv(4096)
    connection.sendall(b"EHLO bench\r\n")
    connection.recv(4096)
    return connection


def main() -> int:
    """Send, and print the seconds that it took."""
    port, connections, mails = map(int, sys.argv[1:])
    step = dict.fromkeys([_opened(port) for _ in range(connections)], 0)
    waiting = selectors.DefaultSelector()
    began = time.monotonic()
    for opened in step:
        waiting.register(opened, selectors.EVENT_READ, opened)
        opened.sendall(STEPS[0])
    accepted = 0
    while accepted < mails:
        for key, _ in waiting.select():
            connection: socket.socket = key.data
            connection.recv(4096)
            step[connection] = (step[connection] + 1) % len(STEPS)
            accepted += step[connection] == 0
            connection.sendall(STEPS[step[connection]])
    print(json.dumps({"seconds": time.monotonic() - began, "accepted": accepted, "cpu_seconds": time.process_time()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
