"""The life of a delivery: its states, what moves it between them, and what an attempt means for it.

QUEUED --claim--> CLAIMED
QUEUED --suppress--> SUPPRESSED
QUEUED --expire--> EXPIRED
QUEUED --spend--> DEAD
QUEUED --lapse--> IN_DOUBT
QUEUED --cancel--> CANCELLED
CLAIMED --intend--> SENDING
CLAIMED --release--> QUEUED
CLAIMED --give_up--> DEAD
SENDING --accept--> SENT
SENDING --postpone--> QUEUED
SENDING --give_up--> DEAD
SENDING --lose_reply--> IN_DOUBT
SENT --bounce--> BOUNCED
IN_DOUBT --resend--> QUEUED
IN_DOUBT --redrive--> QUEUED
IN_DOUBT --confirm--> SENT
IN_DOUBT --cancel--> CANCELLED
DEAD --redrive--> QUEUED
SUPPRESSED --redrive--> QUEUED
EXPIRED --redrive--> QUEUED
BOUNCED --redrive--> QUEUED

A claim that runs out is a `release` while nobody was contacted, and a `lose_reply` once somebody may have been. Time
that is over before the first try is an `expire`, later a `spend`; where a server may have the message already, it is a
`lapse`, for the doubt is not to be forgotten. An operator confirms, cancels and redrives. The statements in `sql/` and
the functions in the database make exactly these moves, and each that ends a claim names its token.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from mailer.backoff import Backoff
from mailer.meanings import Judgement, Kind


class State(StrEnum):
    """Where a delivery stands; the values are those of `outbox.delivery.state`."""

    QUEUED = "queued"
    CLAIMED = "claimed"
    SENDING = "sending"
    SENT = "sent"
    IN_DOUBT = "in_doubt"
    DEAD = "dead"
    SUPPRESSED = "suppressed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    BOUNCED = "bounced"


class Signal(StrEnum):
    """What moves a delivery."""

    CLAIM = "claim"
    INTEND = "intend"
    RELEASE = "release"
    ACCEPT = "accept"
    POSTPONE = "postpone"
    GIVE_UP = "give_up"
    LOSE_REPLY = "lose_reply"
    RESEND = "resend"
    SUPPRESS = "suppress"
    EXPIRE = "expire"
    SPEND = "spend"
    LAPSE = "lapse"
    CANCEL = "cancel"
    CONFIRM = "confirm"
    REDRIVE = "redrive"
    BOUNCE = "bounce"


TRANSITIONS: Mapping[State, Mapping[Signal, State]] = {
    State.QUEUED: {
        Signal.CLAIM: State.CLAIMED,
        Signal.SUPPRESS: State.SUPPRESSED,
        Signal.EXPIRE: State.EXPIRED,
        Signal.SPEND: State.DEAD,
        Signal.LAPSE: State.IN_DOUBT,
        Signal.CANCEL: State.CANCELLED,
    },
    State.CLAIMED: {Signal.INTEND: State.SENDING, Signal.RELEASE: State.QUEUED, Signal.GIVE_UP: State.DEAD},
    State.SENDING: {
        Signal.ACCEPT: State.SENT,
        Signal.POSTPONE: State.QUEUED,
        Signal.GIVE_UP: State.DEAD,
        Signal.LOSE_REPLY: State.IN_DOUBT,
    },
    State.SENT: {Signal.BOUNCE: State.BOUNCED},
    State.IN_DOUBT: {
        Signal.RESEND: State.QUEUED,
        Signal.REDRIVE: State.QUEUED,
        Signal.CONFIRM: State.SENT,
        Signal.CANCEL: State.CANCELLED,
    },
    State.DEAD: {Signal.REDRIVE: State.QUEUED},
    State.SUPPRESSED: {Signal.REDRIVE: State.QUEUED},
    State.EXPIRED: {Signal.REDRIVE: State.QUEUED},
    State.CANCELLED: {},
    State.BOUNCED: {Signal.REDRIVE: State.QUEUED},
}
TERMINAL = frozenset(state for state, moves in TRANSITIONS.items() if not moves)
# Nothing but an operator, or the mail's own return, moves these on.
SETTLED = frozenset((State.SENT, State.CANCELLED, State.DEAD, State.SUPPRESSED, State.EXPIRED, State.BOUNCED))


@dataclass(frozen=True, slots=True)
class Sent:
    """A server took responsibility for it."""


@dataclass(frozen=True, slots=True)
class Retry:
    """It goes back to the queue and is due after *pause*; *spent* says whether the attempt counts.

    *pin* names the transport that may have taken it, and that alone may be asked again.
    """

    pause: timedelta
    reason: str
    spent: bool = True
    pin: str | None = None


@dataclass(frozen=True, slots=True)
class Dead:
    """It gave up, for *reason*; *suppress* says that the recipient shall get nothing more."""

    reason: str
    detail: str
    suppress: bool = False


@dataclass(frozen=True, slots=True)
class InDoubt:
    """Perhaps it was accepted by *transport*: only there may it be sent again."""

    transport: str


Verdict = Sent | Retry | Dead | InDoubt


def state_after(verdict: Verdict) -> State:
    """Return where *verdict* takes a delivery that is being sent."""
    return TRANSITIONS[State.SENDING][_signal(verdict)]


def _signal(verdict: Verdict) -> Signal:
    match verdict:
        case Sent():
            return Signal.ACCEPT
        case Retry():
            return Signal.POSTPONE
        case Dead():
            return Signal.GIVE_UP
        case InDoubt():
            return Signal.LOSE_REPLY


@dataclass(frozen=True, slots=True)
class Try:
    """One transport's answer within an attempt, judged."""

    transport: str
    judgement: Judgement
    detail: str


def judge(
    tries: Sequence[Try], *, attempt: int, left: timedelta, backoff: Backoff, jitter: float, cut_short: bool = False
) -> Verdict:
    """Return what attempt number *attempt*, with its *tries* in order, means; *left* is until the delivery expires.

    *cut_short* says that there was no time to ask another transport: then a refusal that another might not make is
    not the end.
    """
    decides = _deciding(tries)
    meaning = decides.judgement.meaning
    match meaning.kind:
        case Kind.ACCEPTED:
            return Sent()
        case Kind.IN_DOUBT:
            return InDoubt(decides.transport)
        case Kind.PERMANENT if meaning.spends and not cut_short:
            return Dead(meaning.reason, decides.detail, suppress=meaning.suppresses)
        case Kind.TRANSIENT | Kind.PERMANENT:
            pause = backoff.pause(attempt, pace=meaning.pace, hint=decides.judgement.hint, left=left, jitter=jitter)
            if pause is None and meaning.pins:
                return InDoubt(decides.transport)
            if pause is None:
                return Dead("age_spent", f"its time was over before it could be tried again; last: {decides.detail}")
            return Retry(pause, meaning.reason, spent=meaning.spends, pin=decides.transport if meaning.pins else None)


def _deciding(tries: Sequence[Try]) -> Try:
    """Return the try that decides: the last, unless it refused for itself what another may take later."""
    last = tries[-1]
    if not goes_elsewhere(last.judgement) or last.judgement.meaning.kind is Kind.TRANSIENT:
        return last
    return next((one for one in tries if one.judgement.meaning.kind is Kind.TRANSIENT), last)


def goes_elsewhere(judgement: Judgement) -> bool:
    """Return whether the next transport may be asked at once: never when this one may have taken the message."""
    meaning = judgement.meaning
    return meaning.elsewhere and meaning.kind in (Kind.TRANSIENT, Kind.PERMANENT)
