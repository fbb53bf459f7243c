"""The table of replies: what each row is about, and what it means. The first row that fits decides.

Three things must not be mixed up, for that would punish the innocent: a recipient's refusal never counts against a
transport, a policy's refusal never suppresses a recipient, and a lost reply to the final dot is neither success nor
failure.
"""

import re
from dataclasses import dataclass
from typing import Protocol

from mailer.meanings import (
    GREYLISTED,
    MAILBOX_FULL,
    MESSAGE_REFUSED,
    NOT_AUTHORISED,
    POLICY_REFUSED,
    RATE_LIMITED,
    RECIPIENT_DEFERRED,
    RECIPIENT_REFUSED,
    SENDER_REFUSED,
    SERVICE_CLOSING,
    TEMPORARILY_UNAVAILABLE,
    TRANSPORT_REFUSED,
    Meaning,
)


class ReplyLike(Protocol):
    """What is read of `mailer.reply.Reply`, which says what each means."""

    @property
    def phase(self) -> str: ...  # noqa: D102 - the reply's words, here and below
    @property
    def code(self) -> int | None: ...  # noqa: D102
    @property
    def enhanced(self) -> str | None: ...  # noqa: D102
    @property
    def text(self) -> str: ...  # noqa: D102
    @property
    def accepted(self) -> bool: ...  # noqa: D102
    @property
    def answered(self) -> bool: ...  # noqa: D102
    @property
    def safe_again(self) -> bool: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Row:
    """Fits a reply when each condition that is given holds."""

    meaning: Meaning
    codes: frozenset[int] = frozenset()
    enhanced: re.Pattern[str] | None = None
    phases: frozenset[str] = frozenset()
    text: re.Pattern[str] | None = None

    def fits(self, reply: ReplyLike) -> bool:
        """Return whether the row speaks of *reply*."""
        return (
            (not self.codes or reply.code in self.codes)
            and (self.enhanced is None or bool(reply.enhanced and self.enhanced.fullmatch(reply.enhanced)))
            and (not self.phases or reply.phase in self.phases)
            and (self.text is None or bool(self.text.search(reply.text)))
        )


def _codes(*codes: int) -> frozenset[int]:
    return frozenset(codes)


def _phases(*phases: str) -> frozenset[str]:
    return frozenset(phases)


def _words(*words: str) -> re.Pattern[str]:
    return re.compile("|".join(words), re.IGNORECASE)


_4YZ = frozenset(range(400, 500))
_5YZ = frozenset(range(500, 600))
_GREY = _words(r"gr[ea]y.?list")
_FULL = _words(
    r"mailbox (?:is |has been )?(?:full|exceeded)",
    r"over ?quota",
    r"quota exceeded",
    r"out of storage",
    r"mailbox size",
)
_RATE = _words(
    r"rate.?limit",
    r"too many",
    r"too fast",
    r"too much mail",
    r"throttl",
    r"unusual rate",
    r"(?:sending|daily|hourly|message|user) (?:sending )?(?:quota|limit)",
    r"quota (?:is )?exceeded",
    r"limit (?:is |has been )?(?:exceeded|reached)",
    r"exceeded.{0,40}limit",
)
_NOBODY = _words(
    r"user unknown",
    r"unknown user",
    r"no such (?:user|recipient|mailbox|account)",
    r"(?:user|recipient|mailbox|account) (?:was )?not found",
    r"(?:user|recipient|mailbox|account|address) does(?: not|n't) exist",
    r"doesn't have an? [\w.]+ account",
    r"this mailbox is disabled",
    r"is no longer valid",
)
# What is wrong is our own address, or what the provider knows of it, whoever the mail is for.
_SENDER = _words(
    r"sender (?:denied|verify failed|verification failed|address rejected)",
    r"callout verification failure",
    r"^verification failed for",
    r"address is not verified",
    r"sandbox subdomains are for test purposes",
)
_LATER = _words(r"try again later", r"try later")
_TOO_MUCH_FOR_ONE = _words(r"receiving mail (?:too quickly|at a rate)", r"messages they can receive per hour")
_POLICY = _words(
    r"spam",
    r"block(?:ed|.?list)",
    r"black.?list",
    r"reputation",
    r"\bpolic(?:y|ies)\b",
    r"\bdnsbl\b",
    r"\brbl\b",
    r"\bdmarc\b",
    r"\bspf\b",
    r"\bdkim\b",
    r"relay(?:ing)? (?:is )?(?:not|denied|access)",
    r"access denied",
    r"not permitted",
    r"unsolicited",
    r"banned",
    r"virus",
    r"content rejected",
    r"prohibit",
    r"spoof",
)


def _e(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


_LATE = _phases("rcpt", "data", "dot")
TABLE: tuple[Row, ...] = (
    # A server that wants a password, or does not take ours. 454 says that its directory is away, which heals by itself.
    Row(NOT_AUTHORISED, codes=_codes(530, 534, 535, 538, 401, 403)),
    Row(NOT_AUTHORISED, codes=_5YZ, phases=_phases("auth")),
    # Mandrill says so of a wrong key, with a 4; Tencent of a client that did not sign in, with 503.
    Row(NOT_AUTHORISED, enhanced=_e(r"4\.7\.8"), phases=_phases("auth")),
    Row(NOT_AUTHORISED, codes=_codes(503), phases=_phases("mail"), text=_words(r"\bauth\b")),
    # Mailgun's word for a domain or account that it has stopped, which comes as 421 and does not heal by itself.
    Row(NOT_AUTHORISED, codes=_5YZ | _codes(421), text=_words(r"^domain \S+ is not allowed to send")),
    # After RCPT, 5.7.8 and 5.7.9 are policy (Yahoo).
    Row(NOT_AUTHORISED, codes=_5YZ, enhanced=_e(r"5\.7\.[89]"), phases=_phases("ehlo", "mail")),
    # 421 is about the connection, in whichever phase it comes.
    Row(SERVICE_CLOSING, codes=_codes(421)),
    # x.2.2, before any word about quota: it is the recipient's, and so is the 4.2.1 that speaks of a rate (Gmail).
    Row(MAILBOX_FULL, enhanced=_e(r"[45]\.2\.2")),
    Row(GREYLISTED, codes=_4YZ, phases=_LATE, text=_GREY),
    # One mailbox gets too much, from whomever, and a 5 in front of it (Gmail, Outlook) does not make it for good.
    Row(RECIPIENT_DEFERRED, enhanced=_e(r"5\.2\.1(?:22)?"), text=_TOO_MUCH_FOR_ONE),
    # Orange and Comcast say 5.1.1 of a full mailbox.
    Row(MAILBOX_FULL, codes=_codes(552), enhanced=_e(r"5\.1\.1"), text=_words(r"quota")),
    Row(RECIPIENT_DEFERRED, codes=_4YZ, enhanced=_e(r"4\.2\.1")),
    # A quota of ours: whatever the digit says, it is over tomorrow, and until then no attempt here is worth making.
    Row(RATE_LIMITED, codes=_codes(429)),
    Row(RATE_LIMITED, enhanced=_e(r"4\.5\.3|5\.4\.5|4\.7\.28")),
    # Whom we say we are.
    Row(SENDER_REFUSED, codes=_5YZ, enhanced=_e(r"5\.1\.[78]")),
    # Nobody there. Only these rows, and their like without an enhanced code, suppress.
    Row(RECIPIENT_REFUSED, codes=_5YZ, enhanced=_e(r"5\.1\.(?:[1236]|10)|5\.2\.1")),
    Row(MESSAGE_REFUSED, codes=_5YZ, enhanced=_e(r"5\.3\.4|5\.6\.\d+")),
    Row(MESSAGE_REFUSED, codes=_codes(400, 413, 422), phases=_phases("dot"), text=_e(r"^(?!.*mailbox)")),
    # Before MAIL nobody has spoken of a message: what is refused there is this machine, and mail waits for another.
    Row(POLICY_REFUSED, codes=_5YZ, enhanced=_e(r"5\.7\.\d+"), phases=_LATE | _phases("mail")),
    # The server has no room, or is not itself; at RCPT only what names the system is about the system.
    Row(TEMPORARILY_UNAVAILABLE, codes=_4YZ, enhanced=_e(r"4\.3\.[12]")),
    # From here on by the basic code, the phase and the words.
    Row(MAILBOX_FULL, codes=_codes(422, 452, 552), phases=_LATE, text=_FULL),
    Row(SENDER_REFUSED, codes=_5YZ, phases=_LATE, text=_SENDER),
    Row(TRANSPORT_REFUSED, codes=_5YZ, phases=_LATE, text=_words(r"helo command rejected")),
    Row(RECIPIENT_REFUSED, codes=_5YZ, phases=_LATE, text=_NOBODY),
    Row(RATE_LIMITED, codes=_4YZ | _codes(550, 552, 554), text=_RATE),
    Row(MAILBOX_FULL, codes=_codes(552), phases=_phases("rcpt")),
    Row(RECIPIENT_DEFERRED, codes=_4YZ, phases=_phases("rcpt")),
    Row(RECIPIENT_DEFERRED, codes=_4YZ, enhanced=_e(r"4\.7\.1"), phases=_LATE),
    Row(POLICY_REFUSED, codes=_codes(550, 553, 554), phases=_LATE | _phases("mail"), text=_POLICY),
    # Exim and aiosmtpd say so, without an enhanced code, of the size that MAIL announces.
    Row(MESSAGE_REFUSED, codes=_codes(552), phases=_phases("mail")),
    # GMX's "mailbox unavailable" of a sender who has sent too much: half an hour later the same recipient is there.
    Row(RECIPIENT_DEFERRED, codes=_codes(550, 553), phases=_phases("rcpt"), text=_LATER),
    # 550 5.0.0 and 5.1.0, or none at all, are what old servers say of a user that they lack.
    Row(RECIPIENT_REFUSED, codes=_codes(550, 551, 553), phases=_phases("rcpt")),
)
