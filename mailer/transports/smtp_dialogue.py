"""What is said in an SMTP session, a step at a time, and how it is opened: greeted, encrypted and signed in.

`phase` is what the session is doing now: a failure is told with the step that it happened in.
"""

import re
import ssl
import time
from base64 import b64encode
from collections.abc import Container
from dataclasses import dataclass, field
from socket import gethostname
from typing import Literal

from mailer.reply import Phase, Reply, refused, unanswered
from mailer.transports.smtp_wire import Answer, NoReplyError, connect

StartTls = Literal["require", "try", "never"]

_HOST_NAME = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_READY, _GREETED, _SIGNED_IN, _CONTINUE = (frozenset((code,)) for code in (220, 250, 235, 334))
_REFUSED = range(400, 600)
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


class SmtpDialogue:
    """A connection that is ready for MAIL."""

    def __init__(self, settings: SmtpSettings, *, deadline: float) -> None:
        """Connect, greet, encrypt and sign in; raise SessionFailedError when a step does not succeed by *deadline*."""
        self._settings = settings
        self.deadline = deadline
        self.features: dict[str, str] = {}
        self.phase = Phase.CONNECT
        try:
            self.wire = connect(settings.host, settings.port, seconds=self.within(settings.connect_seconds))
        except NoReplyError as silence:
            raise SessionFailedError(self.phase, str(silence)) from None
        try:
            self._prepare()
        except NoReplyError as silence:
            self.wire.abandon()
            raise SessionFailedError(self.phase, str(silence)) from None
        except BaseException:
            self.wire.abandon()
            raise

    def expect(self, phase: Phase, line: str, codes: Container[int]) -> None:
        """Say *line* as the step *phase*; raise SessionFailedError unless the answer is one of *codes*."""
        self.phase = phase
        answer = self.command(line)
        if answer.code not in codes:
            raise SessionFailedError(phase, refusal(answer))

    def command(self, line: str) -> Answer:
        """Return what the server answers to *line*."""
        return self.wire.command(line, seconds=self.within(self._settings.command_seconds))

    def within(self, seconds: float) -> float:
        """Return *seconds*, or what is left until the deadline of the attempt."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise NoReplyError("the time for this attempt is used up")
        return min(seconds, left)

    def _prepare(self) -> None:
        settings = self._settings
        if settings.implicit_tls:
            self._encrypt()
            self.phase = Phase.CONNECT
        greeting = self.wire.answer(seconds=self.within(settings.command_seconds))
        if greeting.code not in _READY:
            raise SessionFailedError(self.phase, refusal(greeting))
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
        self.wire.start_tls(context, self._settings.host, seconds=self.within(self._settings.connect_seconds))

    def _start_tls(self) -> None:
        if "STARTTLS" not in self.features:
            if self._settings.starttls == "require":
                raise SessionFailedError(Phase.TLS, ours(0, "the server offers no STARTTLS, and starttls=require"))
            return
        self.expect(Phase.TLS, "STARTTLS", _READY)
        self._encrypt()
        self._greet()

    def _greet(self) -> None:
        self.phase = Phase.EHLO
        name = self._settings.ehlo or _own_name(self.wire.local_address)
        answer = self.command(f"EHLO {name}")
        if answer.code in _NO_EHLO:
            answer = self.command(f"HELO {name}")
            self.features = {}
        else:
            words = [line.split(" ", 1) for line in answer.lines[1:]]
            self.features = {word[0].upper(): word[1] if len(word) > 1 else "" for word in words}
        if answer.code not in _GREETED:
            raise SessionFailedError(self.phase, refusal(answer))

    def _sign_in(self, user: str, password: str) -> None:
        mechanisms = self.features.get("AUTH", "").upper().split()
        if "PLAIN" in mechanisms:
            self.expect(Phase.AUTH, f"AUTH PLAIN {_base64(f'{chr(0)}{user}{chr(0)}{password}')}", _SIGNED_IN)
        elif "LOGIN" in mechanisms:
            self.expect(Phase.AUTH, "AUTH LOGIN", _CONTINUE)
            self.expect(Phase.AUTH, _base64(user), _CONTINUE)
            self.expect(Phase.AUTH, _base64(password), _SIGNED_IN)
        else:
            text = "5.5.4 the server offers neither AUTH PLAIN nor AUTH LOGIN"
            raise SessionFailedError(Phase.AUTH, ours(504, text))


def ours(code: int, text: str) -> Answer:
    """Return a refusal that this side makes, with the code that a server would give: nothing was said to one."""
    return Answer(code, text, ())


def refusal(answer: Answer) -> Answer | str:
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
