"""What a reply can mean: whether the message was taken, what the reply is about, and what follows from it."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Kind(StrEnum):
    """Whether the message was taken, may be taken later, never will be, or perhaps was."""

    ACCEPTED = "accepted"
    TRANSIENT = "transient"
    PERMANENT = "permanent"
    IN_DOUBT = "in_doubt"


class Scope(StrEnum):
    """What the reply is about."""

    NONE = "none"
    TRANSPORT = "transport"
    CONFIGURATION = "configuration"
    RECIPIENT = "recipient"
    MESSAGE = "message"
    POLICY = "policy"


class Pace(StrEnum):
    """How soon a transient refusal may be tried again."""

    NORMAL = "normal"
    GREYLISTED = "greylisted"
    HOURS = "hours"


class Breaker(StrEnum):
    """What the reply does to the breaker of its transport."""

    CLOSES = "closes"
    UNTOUCHED = "untouched"
    COUNTS = "counts"
    OPENS = "opens"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a row of the table says of the replies that fit it. *reason* is the dead letter's, if it comes to that."""

    reason: str
    kind: Kind
    scope: Scope
    breaker: Breaker = Breaker.UNTOUCHED
    pace: Pace = Pace.NORMAL
    # Another transport may be asked at once: this one has definitely not taken the message, and it is about this one.
    elsewhere: bool = False
    # Whether an attempt is spent: a wrong password is not the message's fault.
    spends: bool = True
    suppresses: bool = False
    # The next attempt goes through the same transport, whatever its order: perhaps it has taken the message.
    pins: bool = False
    # Somebody has to look, for it will not heal by itself.
    alarms: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one reply means; *hint* is what the server asked for by "try again in N"."""

    meaning: Meaning
    hint: timedelta | None = None


ACCEPTED = Meaning("accepted", Kind.ACCEPTED, Scope.NONE, Breaker.CLOSES)
UNANSWERED = Meaning("in_doubt", Kind.IN_DOUBT, Scope.NONE)
ASK_AGAIN = Meaning("unanswered", Kind.TRANSIENT, Scope.TRANSPORT, Breaker.COUNTS, pins=True)
UNREACHABLE = Meaning("unreachable", Kind.TRANSIENT, Scope.TRANSPORT, Breaker.COUNTS, elsewhere=True)
SERVICE_CLOSING = Meaning("service_closing", Kind.TRANSIENT, Scope.TRANSPORT, Breaker.COUNTS, elsewhere=True)
TEMPORARILY_UNAVAILABLE = Meaning("unavailable", Kind.TRANSIENT, Scope.TRANSPORT, Breaker.COUNTS, elsewhere=True)
RATE_LIMITED = Meaning("rate_limited", Kind.TRANSIENT, Scope.TRANSPORT, Breaker.COUNTS, elsewhere=True)
TRANSPORT_REFUSED = Meaning(
    "transport_refused", Kind.TRANSIENT, Scope.TRANSPORT, Breaker.COUNTS, elsewhere=True, alarms=True
)
NOT_AUTHORISED = Meaning(
    "not_authorised", Kind.PERMANENT, Scope.CONFIGURATION, Breaker.OPENS, elsewhere=True, spends=False, alarms=True
)
SENDER_REFUSED = Meaning("sender_refused", Kind.PERMANENT, Scope.CONFIGURATION, alarms=True)
RECIPIENT_DEFERRED = Meaning("recipient_deferred", Kind.TRANSIENT, Scope.RECIPIENT)
GREYLISTED = Meaning("greylisted", Kind.TRANSIENT, Scope.RECIPIENT, pace=Pace.GREYLISTED)
MAILBOX_FULL = Meaning("mailbox_full", Kind.TRANSIENT, Scope.RECIPIENT, pace=Pace.HOURS)
RECIPIENT_REFUSED = Meaning("recipient_refused", Kind.PERMANENT, Scope.RECIPIENT, suppresses=True)
MESSAGE_REFUSED = Meaning("message_refused", Kind.PERMANENT, Scope.MESSAGE)
POLICY_REFUSED = Meaning("policy_refused", Kind.PERMANENT, Scope.POLICY, elsewhere=True, alarms=True)
