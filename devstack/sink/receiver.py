"""The SMTP side of the sink: aiosmtpd, with the replies of a script."""

import asyncio
import contextlib
import ssl
import threading
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session, syntax

from devstack.sink.mailbox import Mailbox
from devstack.sink.script import ANY, Phase, Reply, Script

HOST_NAME = "sink.localhost"
END = b"\r\n.\r\n"
CHUNK = 65_536
LONGEST_LINE = 998  # RFC 5321, without the line's end


@dataclass(frozen=True, slots=True)
class Options:
    """What the sink offers and demands: STARTTLS with a certificate, whether it must be used, logins, and limits."""

    tls: ssl.SSLContext | None = None
    require_tls: bool = False
    logins: tuple[tuple[str, str], ...] = ()
    capacity_bytes: int = 256_000_000
    max_message_bytes: int = 33_554_432


class Traffic:
    """How often each thing happened: `connections`, `open`, `peak`, and `mail`, `rcpt`, `data`, `dot` (times asked)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def count(self, what: str, by: int = 1) -> None:
        """Add *by* to *what*."""
        with self._lock:
            self._counts[what] += by
            self._counts["peak"] = max(self._counts["peak"], self._counts["open"])

    def read(self) -> dict[str, int]:
        """Return the counts."""
        with self._lock:
            return dict(self._counts)


class Handler:
    """Decides MAIL, RCPT and the final dot, and keeps the mails."""

    def __init__(self, *, mailbox: Mailbox, script: Script, traffic: Traffic, login_required: bool = False) -> None:
        self._login_required = login_required
        self._mailbox = mailbox
        self._script = script
        self._traffic = traffic

    def ask(self, phase: Phase, recipients: list[str]) -> Reply:
        """Return what the script says at *phase*."""
        self._traffic.count(str(phase))
        return self._script.next(phase, recipients)

    async def handle_MAIL(  # noqa: N802  the name that aiosmtpd calls
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Answer MAIL FROM."""
        if self._login_required and not session.authenticated:
            return "530 5.7.0 authentication required"
        if line := await _act(server, self.ask(Phase.MAIL, [address])):
            return line
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802  the name that aiosmtpd calls
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Answer RCPT TO."""
        if line := await _act(server, self.ask(Phase.RCPT, [address])):
            return line
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802  the name that aiosmtpd calls
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Answer the final dot."""
        reply = self.ask(Phase.DOT, envelope.rcpt_tos)
        kept = self._keep(session, envelope) if reply.keeps else True
        if not kept:
            return "452 4.3.1 the sink is full"
        return await _act(server, reply) or "250 2.0.0 kept"

    def _keep(self, session: Session, envelope: Envelope) -> bool:
        """Put the mail into the box; False means that it is full."""
        auth: object = session.auth_data
        kept = self._mailbox.add(
            received_at=datetime.now(UTC),
            sender=envelope.mail_from or "",
            recipients=tuple(envelope.rcpt_tos),
            source=_bytes(envelope),
            tls=bool(session.ssl),
            login=auth.login.decode() if isinstance(auth, LoginPassword) else None,
        )
        return kept is not None


class Connection(SMTP):
    """One client's connection. aiosmtpd has no hook for the DATA command, and none for connections."""

    def __init__(
        self, handler: Handler, *, options: Options, traffic: Traffic, transports: set[asyncio.BaseTransport]
    ) -> None:
        """Serve one client; while it is there, its transport is among *transports*."""
        super().__init__(
            handler,
            hostname=HOST_NAME,
            ident="outbox sink",
            data_size_limit=options.max_message_bytes,
            tls_context=options.tls,
            require_starttls=options.require_tls,
            auth_require_tls=options.tls is not None,
            authenticator=_authenticator(options.logins) if options.logins else None,
            enable_SMTPUTF8=True,
        )
        self._asking = handler
        self._traffic = traffic
        self._transports = transports
        self._first: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection; STARTTLS comes here a second time."""
        if self._first is None:
            self._first = transport
            self._transports.add(transport)
            self._traffic.count("open")
            self._traffic.count("connections")
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Count the connection's end."""
        if self._first is not None:
            self._transports.discard(self._first)
            self._first = None
            self._traffic.count("open", -1)
        super().connection_lost(error)

    @syntax("DATA")
    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802  the name that aiosmtpd calls
        """Answer the DATA command as the script says, else take the message and answer the final dot.

        The message is read in one piece: aiosmtpd's own line by line took half of the sink's time.
        """
        envelope, session = self.envelope, self.session
        if await self.check_helo_needed() or envelope is None or session is None:
            return
        if arg or not envelope.rcpt_tos:
            await self.push("501 5.5.4 syntax: DATA" if arg else "503 5.5.1 need RCPT command")
            return
        if line := await _act(self, self._asking.ask(Phase.DATA, envelope.rcpt_tos)):
            await self.push(line)
            return
        await self.push("354 end with <CR><LF>.<CR><LF>")
        envelope.content = envelope.original_content = content = await self._read_message()
        problem = unacceptable(content, limit=self.data_size_limit or len(content))
        reply = problem or await self._asking.handle_DATA(self, session, envelope)
        self._set_post_data_state()  # type: ignore[no-untyped-call]  # aiosmtpd left it untyped
        await self.push(reply)

    async def _read_message(self) -> bytes:
        """Return what comes up to the final dot, without the dots that guard other ones."""
        received = bytearray(b"\r\n")  # the end of the DATA command: the dot of an empty message follows it
        while (end := received.find(END, max(0, len(received) - CHUNK - len(END)))) < 0:
            chunk = await self._reader.read(CHUNK)
            if not chunk:
                raise asyncio.CancelledError  # gone in mid-message
            received += chunk
        if rest := received[end + len(END) :]:
            self._reader.feed_data(rest)  # commands after the dot; the reader is empty now, so they keep their place
        return bytes(received[: end + 2].replace(b"\r\n.", b"\r\n")[2:])


def unacceptable(content: bytes, *, limit: int) -> str | None:
    """Return the reply to a message that a strict server refuses, None for others."""
    if len(content) > limit:
        return "552 5.3.4 message is too big"
    if max(map(len, content.split(b"\r\n"))) > LONGEST_LINE:
        return "500 5.5.2 line is longer than 998 bytes"
    return None


def _bytes(envelope: Envelope) -> bytes:
    """Return the message as it came."""
    return envelope.original_content or b""


async def _act(server: SMTP, reply: Reply) -> str | None:
    """Return the line to send, None to go on; drop the connection or say nothing where *reply* wants that."""
    if reply.after:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), reply.after)
    if reply.accepts:
        return None
    if reply.hangs:
        await asyncio.Event().wait()  # until the connection goes, which cancels us
    if reply.closes and server.transport is not None:
        if reply.line is not None:
            await server.push(reply.line)
        server.transport.close()
        raise asyncio.CancelledError
    return reply.line


def _authenticator(logins: tuple[tuple[str, str], ...]) -> Any:  # noqa: ANN401  what aiosmtpd wants has no type
    """Return the callable that checks a login."""
    known = {(login.encode(), password.encode()) for login, password in logins}

    def check(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: object) -> AuthResult:
        good = isinstance(data, LoginPassword) and (data.login, data.password) in known
        return AuthResult(success=good, handled=False, auth_data=data)

    return check


__all__ = ["ANY", "Connection", "Handler", "Options", "Traffic"]
