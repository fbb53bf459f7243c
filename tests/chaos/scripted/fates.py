"""What the scripted mail server does, by recipient and by step, decided by a seed; and how the client must see it.

A recipient's fate is a list of troubles, one for each message that comes for it; when they are used up it is served
well. A connection's fate is what happens on it before any recipient is named. No I/O.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tests.chaos.plan import seeded
from tests.support.scripted_smtp import Answer, Drop, Hang, Raw, Slow


class Step(StrEnum):
    """Where a conversation stands; the values of the first eight are the phases of an attempt's row."""

    CONNECT = "connect"
    EHLO = "ehlo"
    TLS = "tls"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"
    DONE = "done"
    BODY = "body"
    RSET = "rset"
    QUIT = "quit"


class Tls(StrEnum):
    """What becomes of a handshake."""

    RIGHT = "the right certificate"
    WRONG = "a certificate of somebody else"
    DROPPED = "the connection ends in the middle of it"
    GARBAGE = "what is no TLS at all"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What the server does at one step instead of going on.

    *code* is that of a valid refusal, nothing where no valid reply is given. *keeps*: of a message whose dot has come,
    whether it is taken. *accepts*: a valid yes is given, in time, however oddly. *perhaps* is another phase in which
    the client may notice. *delay_seconds* pass before the answer. *ends*: the connection is closed after it.
    """

    name: str
    step: Step
    answer: Answer
    code: int | None = None
    keeps: bool = False
    accepts: bool = False
    perhaps: Step | None = None
    delay_seconds: float = 0.0
    ends: bool = False


def _no(step: Step, text: str, **more: bool) -> Trouble:
    return Trouble(f"{step}: {text}", step, text, code=int(text[:3]), **more)  # type: ignore[arg-type] # names of bools


def _quiet(step: Step, name: str, answer: Answer, *, keeps: bool = False, perhaps: Step | None = None) -> Trouble:
    return Trouble(f"{step}: {name}", step, answer, keeps=keeps, perhaps=perhaps)


_DRIP = 0.02
# Before the dot: whatever it is, the message is not accepted.
EARLY: Final = (
    _no(Step.RCPT, "451 4.3.0 later"),
    _no(Step.RCPT, "450 4.2.1 rate"),
    _no(Step.RCPT, "452 4.2.2 mailbox full"),
    _no(Step.RCPT, "421 4.3.2 closing", ends=True),
    Trouble("rcpt: slow no", Step.RCPT, Slow(b"451-4.3.0 one\r\n451 4.3.0 two\r\n", _DRIP), code=451),
    Trouble("rcpt: no of many lines", Step.RCPT, Raw(b"450-4.7.1 a\r\n450-4.7.1 b\r\n450 4.7.1 c\r\n"), code=450),
    _quiet(Step.RCPT, "drop", Drop()),
    _quiet(Step.RCPT, "half an answer", Drop(after=b"25")),
    _quiet(Step.RCPT, "garbage", Raw(b"hello there\r\n")),
    _quiet(Step.RCPT, "never answers", Hang()),
    _no(Step.DATA, "451 4.3.0 later"),
    _no(Step.DATA, "421 4.3.2 closing", ends=True),
    _quiet(Step.DATA, "drop", Drop()),
    _quiet(Step.DATA, "two codes in one answer", Raw(b"354-go\r\n451 on\r\n")),
    _quiet(Step.DATA, "never answers", Hang()),
    _quiet(Step.DATA, "drop after the yes", Drop(after=b"354 go on\r\n"), perhaps=Step.DOT),
    _quiet(Step.BODY, "drop in the middle of the body", Drop(), perhaps=Step.DOT),
)
# After the dot: a valid reply is believed, anything else leaves the message in doubt.
LATE_NO: Final = (
    _no(Step.DOT, "451 4.3.0 later"),
    _no(Step.DOT, "421 4.3.2 closing", ends=True),
    Trouble("dot: slow no", Step.DOT, Slow(b"451-4.3.0 one\r\n451 4.3.0 two\r\n", _DRIP), code=451),
)
DOUBTFUL: Final = (
    _quiet(Step.DOT, "dropped, not taken", Drop()),
    _quiet(Step.DOT, "taken, dropped", Drop(), keeps=True),
    _quiet(Step.DOT, "taken, half an answer", Drop(after=b"250 2.0"), keeps=True),
    _quiet(Step.DOT, "taken, garbage", Raw(b"okay then\r\n"), keeps=True),
    _quiet(Step.DOT, "taken, a code that does not fit", Raw(b"354 go on\r\n"), keeps=True),
    _quiet(Step.DOT, "taken, never answered", Hang(), keeps=True),
    _quiet(Step.DOT, "not taken, never answered", Hang()),
    _quiet(Step.DOT, "not taken, the first line of an answer", Drop(after=b"250-2.0.0 wait\r\n")),
    Trouble("dot: taken, answered too late", Step.DOT, "250 2.0.0 late", keeps=True, delay_seconds=4.0),
)
ODD_YES: Final = (
    Trouble("dot: answered late", Step.DOT, "250 2.0.0 late", keeps=True, accepts=True, delay_seconds=0.4),
    Trouble("dot: slow yes", Step.DOT, Slow(b"250 2.0.0 taken as 1\r\n", _DRIP), keeps=True, accepts=True),
    Trouble("dot: yes of many lines", Step.DOT, Raw(b"250-2.0.0 a\r\n250 2.0.0 b\r\n"), keeps=True, accepts=True),
    Trouble("dot: yes, and gone", Step.DOT, "250 2.0.0 ok", keeps=True, accepts=True, ends=True),
    Trouble("dot: yes, and a no unasked", Step.DOT, Raw(b"250 2.0.0 ok\r\n421 bye\r\n"), keeps=True, accepts=True),
)
FOR_GOOD: Final = (
    _no(Step.RCPT, "550 5.1.1 nobody"),
    _no(Step.RCPT, "550 5.7.1 policy"),
    _no(Step.DATA, "554 5.6.0 no"),
    _no(Step.DOT, "552 5.3.4 too big"),
    _no(Step.DOT, "554 5.7.1 spam"),
)
# On a connection, before anybody is named.
CONNECTION: Final = (
    _quiet(Step.CONNECT, "drop", Drop()),
    _quiet(Step.CONNECT, "garbage", Raw(b"hello there\r\n")),
    _quiet(Step.CONNECT, "never answers", Hang()),
    _no(Step.CONNECT, "421 4.3.2 too many", ends=True),
    _no(Step.CONNECT, "554 5.3.0 not now", ends=True),
    _quiet(Step.EHLO, "drop", Drop()),
    _quiet(Step.EHLO, "half an answer", Drop(after=b"250-scripted\r\n250-SI")),
    _no(Step.EHLO, "421 4.3.2 closing", ends=True),
    _quiet(Step.MAIL, "garbage", Raw(b"hello there\r\n")),
    _no(Step.MAIL, "451 4.3.0 later"),
    _no(Step.MAIL, "421 4.3.2 closing", ends=True),
)
HANDSHAKE: Final = (
    _no(Step.TLS, "454 4.7.0 no TLS just now"),
    _quiet(Step.TLS, Tls.WRONG, "220 go on"),
    _quiet(Step.TLS, Tls.DROPPED, "220 go on"),
    _quiet(Step.TLS, Tls.GARBAGE, "220 go on"),
    _quiet(Step.EHLO, "offers no STARTTLS", Raw(b"250-scripted\r\n250 SIZE 1000000\r\n"), perhaps=Step.TLS),
)


@dataclass(frozen=True, slots=True)
class Fates:
    """How often what happens; *calm* leaves of a recipient's fate only what is for good."""

    seed: int
    recipients: float = 0.35
    connections: float = 0.12
    calm: bool = False

    def of_recipient(self, number: int) -> tuple[Trouble, ...]:
        """Return what the messages for recipient *number* meet, in turn; the last one stays if it is for good."""
        chance = seeded(self.seed, "recipient", number)
        if chance.random() > self.recipients:
            return ()
        lists = chance.choices((EARLY, LATE_NO, DOUBTFUL, ODD_YES), (40, 15, 30, 15), k=chance.choice((1, 1, 2, 3)))
        troubles = tuple(chance.choice(one) for one in lists)
        return (*troubles, chance.choice(FOR_GOOD)) if chance.random() < 0.15 else troubles

    def of_connection(self, server: int, number: int, *, tls: bool) -> Trouble | None:
        """Return what happens on connection *number* of *server*; with *tls* half of it concerns the handshake."""
        chance = seeded(self.seed, "connection", server, number)
        if self.calm or chance.random() > self.connections:
            return None
        return chance.choice(HANDSHAKE if tls and chance.random() < 0.5 else CONNECTION)


@dataclass(frozen=True, slots=True)
class Given:
    """Fates that a test has written down: by recipient's number."""

    troubles: Mapping[int, tuple[Trouble, ...]]

    def of_recipient(self, number: int) -> tuple[Trouble, ...]:
        """Return what was given for *number*."""
        return self.troubles.get(number, ())

    def of_connection(self, server: int, number: int, *, tls: bool) -> Trouble | None:  # noqa: ARG002 - as Fates has it
        """Return nothing: connections are served well."""
        return None


def noticed(trouble: Trouble) -> tuple[frozenset[Step], int | None]:
    """Return in which phases the client may notice *trouble*, and the code that it then has."""
    if trouble.accepts:
        return frozenset((Step.DONE,)), 250
    step = Step.DATA if trouble.step is Step.BODY else trouble.step
    return frozenset((step, trouble.perhaps or step)), trouble.code


def trouble_at(fate: tuple[Trouble, ...], nth: int) -> Trouble | None:
    """Return what the *nth* message for a recipient meets, the first being 0."""
    if nth < len(fate):
        return fate[nth]
    return fate[-1] if fate and fate[-1] in FOR_GOOD else None
