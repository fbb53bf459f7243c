"""What the sink answers: accept, unless a script for the recipient says otherwise.

A script is a list of replies, one for each time that its phase is reached; **the last one repeats**. So `["550 5.1.1 no
such user"]` bounces for ever, and `["451 4.7.1 later", "451 4.7.1 later", "ok"]` takes the third attempt. A reply is
one of

    ok                       go on (at the dot: accept)
    after N                  the same, N seconds later; at the dot, the mail is kept before the pause
    NNN text                 that reply; 421 also closes the connection
    drop                     close the connection without a reply; what was sent is lost
    keep drop                at the dot: accept the mail, then close the connection without a reply (in doubt)
    hang                     say nothing until the client gives up
    keep hang                at the dot: accept the mail, then say nothing

Phases: `mail` (MAIL FROM), `rcpt` (RCPT TO), `data` (the DATA command), `dot` (after the final dot). Recipient `*`
means any.
"""

import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

ANY = "*"
_LINE = re.compile(r"[2-5]\d\d[ -][\x20-\x7e]+")
_AFTER = re.compile(r"after (\d+(?:\.\d+)?)")


class Phase(StrEnum):
    """When a reply is given."""

    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"


class ScriptError(ValueError):
    """A script that the sink cannot follow."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: a *line* (None: silence), whether the mail is kept, and whether the connection ends.

    It comes *after* so many seconds.
    """

    line: str | None
    accepts: bool = False
    keeps: bool = False
    hangs: bool = False
    closes: bool = False
    after: float = 0.0


OK = Reply(line=None, accepts=True, keeps=True)
_WORDS = {
    "ok": OK,
    "drop": Reply(line=None, closes=True),
    "keep drop": Reply(line=None, keeps=True, closes=True),
    "hang": Reply(line=None, hangs=True),
    "keep hang": Reply(line=None, keeps=True, hangs=True),
}


def parse(text: str) -> Reply:
    """Return the reply that *text* stands for."""
    if word := _WORDS.get(text.strip().lower()):
        return word
    if late := _AFTER.fullmatch(text):
        return Reply(line=None, accepts=True, keeps=True, after=float(late[1]))
    if _LINE.fullmatch(text) and text[0] in "45":
        return Reply(line=text, closes=text.startswith("421"))
    raise ScriptError(
        f"expected a reply to be 4yz or 5yz with a text, after N, or one of {', '.join(_WORDS)}, got {text!r}"
    )


class Script:
    """The replies still to be given, by phase and recipient. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._replies: dict[tuple[Phase, str], list[Reply]] = {}

    def set(self, recipient: str, replies: Sequence[str], *, phase: Phase | str = Phase.RCPT) -> None:
        """Answer *replies* to *recipient* at *phase*; none: accept again."""
        if str(phase) not in tuple(Phase):
            raise ScriptError(f"expected phase to be one of {', '.join(Phase)}, got {phase!r}")
        parsed = [parse(text) for text in replies]
        with self._lock:
            self._replies[Phase(phase), recipient.lower()] = parsed

    def clear(self) -> None:
        """Accept everything again."""
        with self._lock:
            self._replies.clear()

    def next(self, phase: Phase, recipients: Iterable[str]) -> Reply:
        """Return the next reply for the first of *recipients*, or for any, that has a script for *phase*."""
        with self._lock:
            for recipient in (*recipients, ANY):
                if replies := self._replies.get((phase, recipient.lower())):
                    return replies.pop(0) if len(replies) > 1 else replies[0]
        return OK
