"""A DNS server on this machine that says what a test tells it: real questions and answers over UDP."""

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

Zone = Mapping[str, Mapping[str, list[str]]]
"""Name to type to records, each as in a zone file."""


class DnsServer:
    """Answers from a zone: a name that it lacks does not exist, a type that a name lacks has no records."""

    def __init__(self, zone: Zone, *, fails: bool = False) -> None:
        """Answer from *zone*; one that *fails* says SERVFAIL to everything."""
        self._zone = zone
        self._fails = fails
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, name="dns")
        self.asked: list[tuple[str, str]] = []

    @property
    def address(self) -> str:
        """Return address and port."""
        host, port = self._socket.getsockname()
        return f"{host}:{port}"

    def __enter__(self) -> Self:
        """Start answering."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop answering: an empty datagram ends the thread."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ender:
            ender.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while datagram := self._socket.recvfrom(4096):
            content, asker = datagram
            if not content:
                return
            with suppress(OSError):  # whoever asked has gone
                self._socket.sendto(self._answer(content), asker)

    def _answer(self, content: bytes) -> bytes:
        question = dns.message.from_wire(content)
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        asked = question.question[0]
        name, kind = asked.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(asked.rdtype)
        self.asked.append((name, kind))
        if self._fails:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif name not in self._zone:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif records := self._zone[name].get(kind):
            answer.answer.append(dns.rrset.from_text_list(asked.name, 60, "IN", kind, records))
        return answer.to_wire()
