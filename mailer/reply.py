"""What a transport answers: how far an attempt came, and what the server said, as values that a verdict is made of.

The phase is what makes a lost reply bearable. A connection that drops at RCPT has sent nothing; one that drops after
the final dot may have. Both are the same exception in smtplib, and not the same thing at all.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

# A colon ends an address, except in brackets: Barracuda's reason follows it without a blank.
_ADDRESS = re.compile(r"<?[^\s<>@,;:()\"']+@(?:\[[^\s\]]*\]|[^\s<>@,;:()\"']+)>?")
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?=\s|$)")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_LONGEST_TEXT = 400
# A local part of two letters is more often a word of the reply than the recipient.
_SHORTEST_LOCAL_PART = 3


class Phase(StrEnum):
    """The step that an attempt was in when it ended."""

    CONNECT = "connect"
    TLS = "tls"
    EHLO = "ehlo"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    # The whole message is out, the final dot included: without an answer, nobody knows whether it was accepted.
    DOT = "dot"
    # Accepted: the server, or the file system, has taken responsibility.
    DONE = "done"


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """One message for one recipient. *content* has its headers; the envelope is in *sender* and *recipient*.

    *again* says that it may have been accepted before: only a transport that can tell does not send it twice then.
    *at* is the database's time of this attempt, where there is one. *until* (monotonic) is when the attempt has to
    be over: somebody else may send the message then. A transport that can wait for long cuts its patience to it.
    """

    sender: str
    recipient: str = field(repr=False)
    content: bytes = field(repr=False)
    message_id: str
    again: bool = False
    at: datetime | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one attempt.

    *code* is the server's; where the transport itself refuses what a server would, it is the code that one would give.
    *accepted* is true only in phase `done`. *answered* is false where no valid reply came (a timeout, a drop, garbage):
    in phase `dot` that means "perhaps accepted", in any earlier phase "not accepted". *safe_again* takes the doubt
    away: the same message may be handed to the same transport again, which sends it once (an idempotency key).
    """

    transport: str
    phase: Phase
    code: int | None
    enhanced: str | None
    text: str
    accepted: bool
    answered: bool
    safe_again: bool = False


def accepted(transport: str, *, code: int | None = None, text: str, recipient: str) -> Reply:
    """Return the reply of a server that took the message."""
    enhanced, scrubbed = read_text(text, recipient=recipient)
    return Reply(transport, Phase.DONE, code, enhanced, scrubbed, accepted=True, answered=True)


def refused(transport: str, phase: Phase, *, code: int | None, text: str, recipient: str) -> Reply:
    """Return the reply of a server that said no, for now or for good."""
    enhanced, scrubbed = read_text(text, recipient=recipient)
    return Reply(transport, phase, code, enhanced, scrubbed, accepted=False, answered=True)


def unanswered(transport: str, phase: Phase, *, text: str, recipient: str) -> Reply:
    """Return what is known when no reply came."""
    return Reply(transport, phase, None, None, scrub(text, recipient=recipient), accepted=False, answered=False)


def read_text(text: str, *, recipient: str) -> tuple[str | None, str]:
    """Return the enhanced status code that *text* begins with, and the rest without addresses."""
    match = _ENHANCED.match(text)
    return (
        (match[1], scrub(text[match.end() :], recipient=recipient))
        if match
        else (None, scrub(text, recipient=recipient))
    )


def scrub(text: str, *, recipient: str = "") -> str:
    """Return *text* as one line without addresses: replies quote the recipient, and logs are kept longer than mail."""
    text = _CONTROL.sub(" ", text[: 2 * _LONGEST_TEXT])
    local = recipient.rpartition("@")[0]
    if recipient:
        text = re.sub(f"<?{re.escape(recipient)}>?", "<address>", text, flags=re.IGNORECASE)
    text = _ADDRESS.sub("<address>", text)
    if len(local) >= _SHORTEST_LOCAL_PART:
        text = re.sub(rf"(?<![\w.+-]){re.escape(local)}(?![\w.+-])", "<address>", text, flags=re.IGNORECASE)
    return " ".join(text.split())[:_LONGEST_TEXT]
