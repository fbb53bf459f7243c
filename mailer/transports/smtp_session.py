"""One SMTP session: greeted, encrypted, signed in, and then good for many messages, a step at a time.

`phase` is what the session is doing now. It becomes `dot` only when the whole body is on its way and the final dot is
about to be written: a failure in `dot` is the only one after which the message may have been accepted.
"""

import re
import ssl
import time
from base64 import b64encode
from collections.abc import Container
from dataclasses import dataclass, field
from socket import gethostname
from typing import Literal

from mailer.guard import wire_address
from mailer.reply import OutgoingMessage, Phase, Reply, accepted, refused, unanswered
from mailer.transports.smtp_wire import Answer, NoReplyError, connect, stuffed

StartTls = Literal["require", "try", "never"]

_WIRE_ADDRESS = re.compile(r"[^\x00-\x20\x7f<>\ud800-\udfff]+")
_HOST_NAME = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_READY, _GREETED, _SIGNED_IN, _CONTINUE, _START_MAIL = (frozenset((code,)) for code in (220, 250, 235, 334, 354))
_CLOSING = 421
_ACCEPTED = range(200, 300)
_REFUSED = range(400, 600)
# The steps up to the message, and what lets each go on to the next.
_ENVELOPE: tuple[tuple[Phase, Container[int]], ...] = (
    (Phase.MAIL, _GREETED),
    (Phase.RCPT, _ACCEPTED),
    (Phase.DATA, _START_MAIL),
)
# What old servers answer to EHLO: they know HELO only.
_NO_EHLO = frozenset((500, 501, 502, 504, 550))


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """How to reach a server. Durations are in seconds and end in it."""

    name: str
    host: str
    port: int
    user: str | None
    password: str | None = field(repr=False)
    implicit_tls: bool
    starttls: StartTls
    tls: ssl.SSLContext | None = field(repr=False)
    ehlo: str | None
    connect_seconds: float
    command_seconds: float
    attempt_seconds: float
    dot_seconds: float


class SessionFailedError(Exception):
    """The session cannot go on as asked: where it stood, and the answer, or why there was none."""

    def __init__(self, phase: Phase, answer: Answer | str) -> None:
        """Keep *phase*, and the *answer* of the server or the cause of its silence."""
        super().__init__(phase, answer)
        self.phase = phase
        self.answer = answer

    def reply(self, name: str, recipient: str) -> Reply:
        """Return this failure as the reply of the transport *name*."""
        if isinstance(self.answer, str):
            return unanswered(name, self.phase, text=self.answer, recipient=recipient)
        code, text = self.answer.code or None, self.answer.text
        return refused(name, self.phase, code=code, text=text, recipient=recipient)


class SmtpSession:
    """A connection that is ready for MAIL. Not for more than one thread at a time."""

    def __init__(self, settings: SmtpSettings, *, deadline: float) -> None:
        """Connect, greet, encrypt and sign in; raise SessionFailedError when a step does not succeed by *deadline*."""
        self._settings = settings
        self._deadline = deadline
        self._features: dict[str, str] = {}
        self.phase = Phase.CONNECT
        self.usable = True
        self.messages = 0
        try:
            self._wire = connect(settings.host, settings.port, seconds=self._within(settings.connect_seconds))
        except NoReplyError as silence:
            raise SessionFailedError(self.phase, str(silence)) from None
        try:
            self._prepare()
        except NoReplyError as silence:
            self.abandon()
            raise SessionFailedError(self.phase, str(silence)) from None
        except BaseException:
            self.abandon()
            raise

    def deliver(self, message: OutgoingMessage, *, deadline: float) -> Reply:
        """Return what came of sending *message*; afterwards `usable` tells whether another one may follow.

        Everything up to the final dot ends by *deadline*; the reply to the dot has its own time, for giving up on it
        leaves the message in doubt.
        """
        self._deadline = deadline
        name, recipient = self._settings.name, message.recipient
        try:
            answer = self._deliver(message)
        except NoReplyError as silence:
            self.usable = False
            return unanswered(name, self.phase, text=str(silence), recipient=recipient)
        except SessionFailedError as failure:
            self._recover(failure)
            return failure.reply(name, recipient)
        except BaseException:
            self.usable = False
            raise
        self.messages += 1
        return accepted(name, code=answer.code, text=answer.text, recipient=recipient)

    def alive(self) -> bool:
        """Return whether the server still answers."""
        try:
            return self._wire.command("NOOP", seconds=self._settings.connect_seconds).code in _ACCEPTED
        except NoReplyError:
            return False

    def close(self) -> None:
        """End the session politely, without waiting for an answer."""
        self._wire.close()

    def abandon(self) -> None:
        """Drop the connection."""
        self.usable = False
        self._wire.abandon()

    def _prepare(self) -> None:
        settings = self._settings
        if settings.implicit_tls:
            self._encrypt()
            self.phase = Phase.CONNECT
        greeting = self._wire.answer(seconds=self._within(settings.command_seconds))
        if greeting.code not in _READY:
            raise SessionFailedError(self.phase, _refusal(greeting))
        self._greet()
        if not settings.implicit_tls and settings.starttls != "never":
            self._start_tls()
        if settings.user is not None:
            self._sign_in(settings.user, settings.password or "")

    def _encrypt(self) -> None:
        self.phase = Phase.TLS
        context = self._settings.tls
        if context is None:  # pragma: no cover  # the transport makes one whenever TLS may be used
            raise NoReplyError("no TLS context")
        self._wire.start_tls(context, self._settings.host, seconds=self._within(self._settings.connect_seconds))

    def _start_tls(self) -> None:
        if "STARTTLS" not in self._features:
            if self._settings.starttls == "require":
                raise SessionFailedError(Phase.TLS, _ours(0, "the server offers no STARTTLS, and starttls=require"))
            return
        self._expect(Phase.TLS, "STARTTLS", _READY)
        self._encrypt()
        self._greet()

    def _greet(self) -> None:
        self.phase = Phase.EHLO
        name = self._settings.ehlo or _own_name(self._wire.local_address)
        answer = self._command(f"EHLO {name}")
        if answer.code in _NO_EHLO:
            answer = self._command(f"HELO {name}")
            self._features = {}
        else:
            words = [line.split(" ", 1) for line in answer.lines[1:]]
            self._features = {word[0].upper(): word[1] if len(word) > 1 else "" for word in words}
        if answer.code not in _GREETED:
            raise SessionFailedError(self.phase, _refusal(answer))

    def _sign_in(self, user: str, password: str) -> None:
        mechanisms = self._features.get("AUTH", "").upper().split()
        if "PLAIN" in mechanisms:
            self._expect(Phase.AUTH, f"AUTH PLAIN {_base64(f'{chr(0)}{user}{chr(0)}{password}')}", _SIGNED_IN)
        elif "LOGIN" in mechanisms:
            self._expect(Phase.AUTH, "AUTH LOGIN", _CONTINUE)
            self._expect(Phase.AUTH, _base64(user), _CONTINUE)
            self._expect(Phase.AUTH, _base64(password), _SIGNED_IN)
        else:
            text = "5.5.4 the server offers neither AUTH PLAIN nor AUTH LOGIN"
            raise SessionFailedError(Phase.AUTH, _ours(504, text))

    def _deliver(self, message: OutgoingMessage) -> Answer:
        sender, recipient = self._addresses(message)
        body = stuffed(message.content)
        options = self._options(body, utf8=not (sender + recipient).isascii())
        envelope = (f"MAIL FROM:<{sender}>{options}", f"RCPT TO:<{recipient}>", "DATA")
        if "PIPELINING" in self._features:
            self._pipeline(envelope)
        else:
            for line, (phase, codes) in zip(envelope, _ENVELOPE, strict=True):
                self._expect(phase, line, codes)
        self._wire.write(body, seconds=self._within(self._settings.dot_seconds))
        self._wire.expect_nothing_yet()
        self.phase = Phase.DOT
        self._wire.write(b".\r\n", seconds=self._settings.command_seconds)
        answer = self._wire.answer(seconds=self._settings.dot_seconds)
        if answer.code in _ACCEPTED:
            return answer
        # A reply that is neither yes nor no leaves the message in doubt.
        raise SessionFailedError(self.phase, _refusal(answer))

    def _pipeline(self, lines: tuple[str, ...]) -> None:
        """Send *lines* at once (RFC 2920) and read the replies; the first refusal counts, the rest follow from it."""
        self.phase = Phase.MAIL
        self._wire.expect_silence()
        self._wire.write(b"".join(f"{line}\r\n".encode() for line in lines), seconds=self._settings.command_seconds)
        failure: SessionFailedError | None = None
        for phase, codes in _ENVELOPE:
            self.phase = failure.phase if failure else phase
            try:
                answer = self._wire.answer(seconds=self._within(self._settings.command_seconds))
            except NoReplyError:
                if failure is None:
                    raise
                self.usable = False
                raise failure from None
            if failure is None and answer.code not in codes:
                failure = SessionFailedError(phase, _refusal(answer))
            elif failure is not None and answer.code in _START_MAIL:
                self._say_nothing()
        if failure is not None:
            raise failure

    def _say_nothing(self) -> None:
        """End the message of a server that waits for one although it takes nobody it could be for."""
        try:
            self._wire.command(".", seconds=self._within(self._settings.command_seconds))
        except NoReplyError:
            self.usable = False

    def _addresses(self, message: OutgoingMessage) -> tuple[str, str]:
        sender = _in_envelope(message.sender)
        if sender is None:
            raise SessionFailedError(Phase.MAIL, _ours(553, "5.1.7 a sender that no envelope can hold"))
        recipient = _in_envelope(message.recipient)
        if recipient is None:
            raise SessionFailedError(Phase.RCPT, _ours(553, "5.1.3 a recipient that no envelope can hold"))
        return sender, recipient

    def _options(self, body: bytes, *, utf8: bool) -> str:
        options = ""
        if utf8:
            if "SMTPUTF8" not in self._features:
                raise SessionFailedError(Phase.RCPT, _ours(553, "5.6.7 the server takes ASCII addresses only"))
            options += " SMTPUTF8"
        if not body.isascii():
            if "8BITMIME" not in self._features:
                raise SessionFailedError(Phase.DATA, _ours(554, "5.6.3 the server takes 7-bit messages only"))
            options += " BODY=8BITMIME"
        return f"{options} SIZE={len(body)}" if "SIZE" in self._features else options

    def _expect(self, phase: Phase, line: str, codes: Container[int]) -> None:
        self.phase = phase
        answer = self._command(line)
        if answer.code not in codes:
            raise SessionFailedError(phase, _refusal(answer))

    def _command(self, line: str) -> Answer:
        return self._wire.command(line, seconds=self._within(self._settings.command_seconds))

    def _within(self, seconds: float) -> float:
        """Return *seconds*, or what is left until the deadline of the attempt."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise NoReplyError("the time for this attempt is used up")
        return min(seconds, left)

    def _recover(self, failure: SessionFailedError) -> None:
        """Make the session ready for the next message after a refusal, or unusable."""
        if isinstance(failure.answer, str) or failure.answer.code == _CLOSING:
            self.usable = False
            return
        self.messages += 1
        if failure.phase is Phase.DOT or not failure.answer.lines:
            return  # the transaction is over, or was never begun
        try:
            self.usable = self._command("RSET").code in _ACCEPTED
        except NoReplyError:
            self.usable = False


def _ours(code: int, text: str) -> Answer:
    """Return a refusal that this side makes, with the code that a server would give: nothing was said to one."""
    return Answer(code, text, ())


def _in_envelope(address: str) -> str | None:
    """Return *address* as MAIL and RCPT take it, or nothing where they could not."""
    try:
        wire = wire_address(address)
    except ValueError:
        return None
    return wire if _WIRE_ADDRESS.fullmatch(wire) else None


def _refusal(answer: Answer) -> Answer | str:
    """Return *answer* where it is a no; a code that fits no step here is as good as no reply."""
    return answer if answer.code in _REFUSED else f"the server answered {answer.code}, which does not fit here"


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode("ascii")


def _own_name(address: str) -> str:
    """Return what we call ourselves: a full host name without asking DNS, else our address in brackets."""
    name = gethostname()
    if _HOST_NAME.fullmatch(name):
        return name
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"
