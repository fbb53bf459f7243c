"""What a reply means: (class, scope), by the enhanced code first, then the basic code, then the phase.

`mailer.reply_table` is read from the top; what no row of it speaks of is judged by its first digit and how far it came.
"""

import re
from datetime import timedelta

from mailer.meanings import (
    ACCEPTED,
    ASK_AGAIN,
    MESSAGE_REFUSED,
    RECIPIENT_DEFERRED,
    SENDER_REFUSED,
    TEMPORARILY_UNAVAILABLE,
    TRANSPORT_REFUSED,
    UNANSWERED,
    UNREACHABLE,
    Judgement,
    Kind,
    Meaning,
)
from mailer.reply_table import TABLE, ReplyLike


def judge_reply(reply: ReplyLike) -> Judgement:
    """Return what *reply* means: every reply means something."""
    if reply.accepted:
        return Judgement(ACCEPTED)
    if not reply.answered and reply.phase in _AFTER_THE_DOT:
        return Judgement(ASK_AGAIN if reply.safe_again else UNANSWERED)
    if not reply.answered:
        return Judgement(UNREACHABLE)
    meaning = next((row.meaning for row in TABLE if row.fits(reply)), _fallback(reply))
    return Judgement(meaning, hint_in(reply.text) if meaning.kind is Kind.TRANSIENT else None)


def hint_in(text: str) -> timedelta | None:
    """Return how long the server asks to wait ("try again in 5 minutes"); nothing where it does not, or over a day."""
    match = _HINT.search(text)
    if match is None:
        return None
    hint = int(match["n"]) * _UNITS[match["unit"][:1].lower() if match["unit"] else "s"]
    return hint if hint <= _LONGEST_HINT else None


def _fallback(reply: ReplyLike) -> Meaning:
    """Return what a reply means that no row speaks of: by its first digit and how far it came."""
    early = reply.phase in _BEFORE_RCPT
    match (reply.code or 0) // 100:
        case 4:
            return TEMPORARILY_UNAVAILABLE if early else RECIPIENT_DEFERRED
        case 5 if early:
            return SENDER_REFUSED if reply.phase == "mail" else TRANSPORT_REFUSED
        case 5:
            return MESSAGE_REFUSED
        case _:
            # Neither 2yz, 4yz nor 5yz: whoever answers speaks no SMTP that we know. Before the dot nothing was taken.
            return UNANSWERED if reply.phase in _AFTER_THE_DOT else UNREACHABLE


_BEFORE_RCPT = frozenset(("connect", "tls", "ehlo", "auth", "mail"))
_AFTER_THE_DOT = frozenset(("dot", "done"))
_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1)}
_LONGEST_HINT = timedelta(days=1)
_HINT = re.compile(
    r"(?:try again|retry|come back|wait|greylisted|deferred|resend)[^.;:0-9]{0,40}(?:in|after|for|wait|:|-)?\s*"
    r"\b(?P<n>\d{1,6})\s*(?P<unit>seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h)\b",
    re.IGNORECASE,
)
