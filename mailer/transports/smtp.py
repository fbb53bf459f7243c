"""SMTP: a pool of sessions that threads share, reused while they are good and dropped when they are not.

A session serves 100 messages at most and four refusals in a row, is checked with NOOP after idling, and is dropped
after 421, a timeout or anything else that was not an answer. A reused session that turns out to be closed before MAIL
was answered costs a new session, not an attempt.
"""

import re
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

from mailer.reply import OutgoingMessage, Phase, Reply, unanswered
from mailer.transports.dsn import Dsn
from mailer.transports.smtp_dialogue import SessionFailedError, SmtpSettings, StartTls
from mailer.transports.smtp_session import SmtpSession
from runtime.loopback import is_loopback

MESSAGES_A_SESSION = 100
# Postfix counts two errors for a pipelined message to nobody; from ten in a row on it answers a second later each, and
# from twenty on it hangs up. 25 such messages took 43 s in one session.
REFUSALS_A_SESSION = 4
_CLOSING = 421
_SUBMISSION, _SUBMISSIONS, _RELAY = 587, 465, 25
_EHLO = re.compile(r"[A-Za-z0-9.-]+|\[[A-Za-z0-9.:]+\]")
_OPTIONS = (
    "starttls",
    "max_connections",
    "connect_timeout_seconds",
    "timeout_seconds",
    "attempt_timeout_seconds",
    "dot_timeout_seconds",
    "idle_trusted_seconds",
    "ca_file",
    "ehlo",
)


@dataclass(slots=True)
class _Pool:
    """The sessions of one server. *generation* rises with `close`: what was open then does not come back."""

    free: threading.BoundedSemaphore
    lock: threading.Lock = field(default_factory=threading.Lock)
    idle: list[tuple[SmtpSession, float]] = field(default_factory=list)
    generation: int = 0

    def take(self) -> tuple[SmtpSession, float] | None:
        """Return the session that was used last, with when, or nothing."""
        with self.lock:
            return self.idle.pop() if self.idle else None

    def give_back(self, session: SmtpSession, *, generation: int) -> None:
        """Keep *session* for the next message, or end it."""
        patient = session.messages < MESSAGES_A_SESSION and session.refused_in_a_row < REFUSALS_A_SESSION
        if session.usable and patient:
            with self.lock:
                if generation == self.generation:
                    self.idle.append((session, time.monotonic()))
                    return
        _end(session)


class SmtpTransport:
    """The transport of `smtp://` and `smtps://`."""

    def __init__(self, dsn: Dsn) -> None:
        """Read *dsn*; nothing is connected before the first message."""
        dsn.only(*_OPTIONS)
        self._settings = _settings(dsn)
        self.name = self._settings.name
        self.max_connections = int(dsn.number("max_connections", default=8, least=1, most=1000))
        # Servers close idle sessions after some ten seconds at the soonest; before that, NOOP would be wasted.
        self._idle_trusted_seconds = dsn.number("idle_trusted_seconds", default=10, least=0, most=3600)
        self._pool = _Pool(threading.BoundedSemaphore(self.max_connections))

    def __repr__(self) -> str:
        """Return the transport's name; its settings have a password."""
        return f"SmtpTransport({self.name!r})"

    @property
    def longest_attempt_seconds(self) -> float:
        """Return how long `send` can take at most."""
        return self._settings.attempt_seconds + self._settings.command_seconds + self._settings.dot_seconds

    @property
    def children(self) -> "tuple[SmtpTransport, ...]":
        """Return this one alone."""
        return (self,)

    def send(self, message: OutgoingMessage) -> Reply:
        """Return what came of one attempt; blocks while all `max_connections` sessions are in use."""
        patience = self._patience(message)
        deadline = time.monotonic() + patience
        if not self._pool.free.acquire(timeout=patience):
            text = f"no free connection in {patience:g} s (max_connections={self.max_connections})"
            return unanswered(self.name, Phase.CONNECT, text=text, recipient=message.recipient)
        try:
            return self._send(message, deadline)
        finally:
            self._pool.free.release()

    def close(self) -> None:
        """End every idle session now, and those in use when they come back."""
        with self._pool.lock:
            self._pool.generation += 1
            idle, self._pool.idle = self._pool.idle, []
        for session, _ in idle:
            session.close()

    def probe(self) -> str | None:
        """Return why no session comes about, sign-in included; nothing when one does. No message is sent."""
        try:
            SmtpSession(self._settings, deadline=time.monotonic() + self._settings.connect_seconds).close()
        except SessionFailedError as failure:
            # No message, so no recipient: nothing in the answer is a person's.
            reply = failure.reply(self.name, "")
            return f"{failure.phase}: {reply.code or ''} {reply.text}".replace(":  ", ": ")
        return None

    def _patience(self, message: OutgoingMessage) -> float:
        """Return the seconds that everything before the final dot may take: the reply to it needs time, too."""
        if message.until is None:
            return self._settings.attempt_seconds
        left = max(0.0, message.until - time.monotonic())
        return min(self._settings.attempt_seconds, left - min(self._settings.dot_seconds, left / 2))

    def _send(self, message: OutgoingMessage, deadline: float) -> Reply:
        if (session := self._reused(deadline)) is not None:
            with self._lent(session):
                reply = session.deliver(message, deadline=deadline)
            if not _was_stale(reply):
                return reply
        try:
            session = SmtpSession(self._settings, deadline=deadline)
        except SessionFailedError as failure:
            return failure.reply(self.name, message.recipient)
        with self._lent(session):
            return session.deliver(message, deadline=deadline)

    @contextmanager
    def _lent(self, session: SmtpSession) -> Iterator[None]:
        generation = self._pool.generation
        try:
            yield
        finally:
            self._pool.give_back(session, generation=generation)

    def _reused(self, deadline: float) -> SmtpSession | None:
        """Return an idle session that still answers, or nothing."""
        while (taken := self._pool.take()) is not None:
            session, used_at = taken
            if time.monotonic() - used_at < self._idle_trusted_seconds or session.alive(deadline=deadline):
                return session
            session.abandon()
        return None


def _was_stale(reply: Reply) -> bool:
    """Return whether the server had closed a reused session: nothing was sent yet, so another one may do it."""
    return reply.phase is Phase.MAIL and (not reply.answered or reply.code == _CLOSING)


def _end(session: SmtpSession) -> None:
    if session.usable:
        session.close()
    else:
        session.abandon()


def _settings(dsn: Dsn) -> SmtpSettings:
    if dsn.host is None:
        dsn.refuse("it has no host", fix="write smtp://host:587")
    if dsn.path not in ("", "/"):
        dsn.refuse("it has a path", fix="percent-encode / in user and password as %2F")
    implicit = dsn.scheme == "smtps"
    starttls = _starttls(dsn, dsn.host, implicit=implicit)
    usual = _SUBMISSIONS if implicit else _SUBMISSION if dsn.user is not None else _RELAY
    port = dsn.port or usual
    return SmtpSettings(
        name=dsn.name,
        host=dsn.host,
        port=port,
        user=dsn.user,
        password=dsn.password,
        implicit_tls=implicit,
        starttls=starttls,
        tls=_context(dsn, verify=starttls != "try") if implicit or starttls != "never" else None,
        ehlo=_own_name(dsn),
        connect_seconds=dsn.number("connect_timeout_seconds", default=10, least=0.05, most=300),
        command_seconds=dsn.number("timeout_seconds", default=30, least=0.05, most=600),
        attempt_seconds=dsn.number("attempt_timeout_seconds", default=150, least=0.05, most=3600),
        # RFC 5321 4.5.3.2.6 asks for ten minutes; one is what the lease of a delivery has room for.
        dot_seconds=dsn.number("dot_timeout_seconds", default=60, least=0.05, most=600),
    )


def _own_name(dsn: Dsn) -> str | None:
    name = dsn.options.get("ehlo")
    if name is not None and not _EHLO.fullmatch(name):
        dsn.refuse("expected ehlo to be a host name, or an address in square brackets")
    return name


def _starttls(dsn: Dsn, host: str, *, implicit: bool) -> StartTls:
    if implicit and "starttls" in dsn.options:
        dsn.refuse("smtps:// encrypts from the start and knows no starttls", fix="leave the option out")
    default = "never" if implicit or is_loopback(host) else "require"
    starttls = cast("StartTls", dsn.choice("starttls", ("require", "try", "never"), default=default))
    if starttls == "try" and dsn.user is not None and not is_loopback(host):
        dsn.refuse(
            "starttls=try would show the password to whoever stands in between",
            fix="use starttls=require, or never on a network that you trust",
        )
    return starttls


def _context(dsn: Dsn, *, verify: bool) -> ssl.SSLContext:
    """Return the TLS settings; what may fall back to no encryption at all gains nothing by verifying."""
    try:
        context = ssl.create_default_context(cafile=dsn.options.get("ca_file"))
    except (OSError, ssl.SSLError):
        dsn.refuse("ca_file cannot be read as certificates", fix="give the path of a PEM file")
    if not verify and "ca_file" not in dsn.options:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
