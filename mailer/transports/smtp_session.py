"""One SMTP session, good for many messages: envelope, body and final dot, a step at a time.

The phase becomes `dot` only when the whole body is on its way and the final dot is about to be written: a failure in
`dot` is the only one after which the message may have been accepted.
"""

import re
import time
from collections.abc import Container

from mailer.guard import wire_address
from mailer.reply import OutgoingMessage, Phase, Reply, accepted, unanswered
from mailer.transports.smtp_dialogue import SessionFailedError, SmtpDialogue, SmtpSettings, ours, refusal
from mailer.transports.smtp_wire import Answer, NoReplyError, stuffed

_WIRE_ADDRESS = re.compile(r"[^\x00-\x20\x7f<>\ud800-\udfff]+")
_GREETED, _START_MAIL = (frozenset((code,)) for code in (250, 354))
_CLOSING = 421
# Seconds. What has come by now is read, however late it is.
_SHORTEST_WAIT = 0.05
_ACCEPTED = range(200, 300)
# The steps up to the message, and what lets each go on to the next.
_ENVELOPE: tuple[tuple[Phase, Container[int]], ...] = (
    (Phase.MAIL, _GREETED),
    (Phase.RCPT, _ACCEPTED),
    (Phase.DATA, _START_MAIL),
)


class SmtpSession:
    """A connection that is ready for MAIL. Not for more than one thread at a time."""

    def __init__(self, settings: SmtpSettings, *, deadline: float) -> None:
        """Open it; raise SessionFailedError when a step does not succeed by *deadline*."""
        self._settings = settings
        self._dialogue = SmtpDialogue(settings, deadline=deadline)
        self.usable = True
        self.messages = 0
        self.refused_in_a_row = 0

    def deliver(self, message: OutgoingMessage, *, deadline: float) -> Reply:
        """Return what came of sending *message*; afterwards `usable` tells whether another one may follow.

        Everything up to the final dot ends by *deadline*; the reply to the dot has its own time, for giving up on it
        leaves the message in doubt.
        """
        self._dialogue.deadline = deadline
        name, recipient = self._settings.name, message.recipient
        try:
            answer = self._deliver(message)
        except NoReplyError as silence:
            self.usable = False
            return unanswered(name, self._dialogue.phase, text=str(silence), recipient=recipient)
        except SessionFailedError as failure:
            self._recover(failure)
            return failure.reply(name, recipient)
        except BaseException:
            self.usable = False
            raise
        self.messages += 1
        self.refused_in_a_row = 0
        return accepted(name, code=answer.code, text=answer.text, recipient=recipient)

    def alive(self, *, deadline: float) -> bool:
        """Return whether the server still answers, by *deadline* at the latest."""
        self._dialogue.deadline = deadline
        try:
            seconds = self._dialogue.within(self._settings.connect_seconds)
            return self._dialogue.wire.command("NOOP", seconds=seconds).code in _ACCEPTED
        except NoReplyError:
            return False

    def close(self) -> None:
        """End the session politely, without waiting for an answer."""
        self._dialogue.wire.close()

    def abandon(self) -> None:
        """Drop the connection."""
        self.usable = False
        self._dialogue.wire.abandon()

    def _deliver(self, message: OutgoingMessage) -> Answer:
        sender, recipient = self._addresses(message)
        body = stuffed(message.content)
        options = self._options(body, utf8=not (sender + recipient).isascii())
        envelope = (f"MAIL FROM:<{sender}>{options}", f"RCPT TO:<{recipient}>", "DATA")
        if "PIPELINING" in self._dialogue.features:
            self._pipeline(envelope)
        else:
            for line, (phase, codes) in zip(envelope, _ENVELOPE, strict=True):
                self._dialogue.expect(phase, line, codes)
        self._dialogue.wire.write(body, seconds=self._dialogue.within(self._settings.dot_seconds))
        self._dialogue.wire.expect_nothing_yet()
        self._dialogue.phase = Phase.DOT
        self._dialogue.wire.write(b".\r\n", seconds=self._settings.command_seconds)
        answer = self._dialogue.wire.answer(seconds=self._dot_seconds(message))
        if answer.code in _ACCEPTED:
            return answer
        # A reply that is neither yes nor no leaves the message in doubt.
        raise SessionFailedError(self._dialogue.phase, refusal(answer))

    def _dot_seconds(self, message: OutgoingMessage) -> float:
        """Return how long to wait for the reply to the dot: no longer than it is of use."""
        if message.until is None:
            return self._settings.dot_seconds
        return min(self._settings.dot_seconds, max(_SHORTEST_WAIT, message.until - time.monotonic()))

    def _pipeline(self, lines: tuple[str, ...]) -> None:
        """Send *lines* at once (RFC 2920) and read the replies; the first refusal counts, the rest follow from it."""
        self._dialogue.phase = Phase.MAIL
        self._dialogue.wire.expect_silence()
        self._dialogue.wire.write(
            b"".join(f"{line}\r\n".encode() for line in lines), seconds=self._settings.command_seconds
        )
        failure: SessionFailedError | None = None
        for phase, codes in _ENVELOPE:
            self._dialogue.phase = failure.phase if failure else phase
            try:
                answer = self._dialogue.wire.answer(seconds=self._dialogue.within(self._settings.command_seconds))
            except NoReplyError:
                if failure is None:
                    raise
                self.usable = False
                raise failure from None
            if failure is None and answer.code not in codes:
                failure = SessionFailedError(phase, refusal(answer))
            elif failure is not None and answer.code in _START_MAIL:
                self._say_nothing()
        if failure is not None:
            raise failure

    def _say_nothing(self) -> None:
        """End the message of a server that waits for one although it takes nobody it could be for."""
        try:
            self._dialogue.wire.command(".", seconds=self._dialogue.within(self._settings.command_seconds))
        except NoReplyError:
            self.usable = False

    def _addresses(self, message: OutgoingMessage) -> tuple[str, str]:
        sender = _in_envelope(message.sender)
        if sender is None:
            raise SessionFailedError(Phase.MAIL, ours(553, "5.1.7 a sender that no envelope can hold"))
        recipient = _in_envelope(message.recipient)
        if recipient is None:
            raise SessionFailedError(Phase.RCPT, ours(553, "5.1.3 a recipient that no envelope can hold"))
        return sender, recipient

    def _options(self, body: bytes, *, utf8: bool) -> str:
        options = ""
        if utf8:
            if "SMTPUTF8" not in self._dialogue.features:
                raise SessionFailedError(Phase.RCPT, ours(553, "5.6.7 the server takes ASCII addresses only"))
            options += " SMTPUTF8"
        if not body.isascii():
            if "8BITMIME" not in self._dialogue.features:
                raise SessionFailedError(Phase.DATA, ours(554, "5.6.3 the server takes 7-bit messages only"))
            options += " BODY=8BITMIME"
        return f"{options} SIZE={len(body)}" if "SIZE" in self._dialogue.features else options

    def _recover(self, failure: SessionFailedError) -> None:
        """Make the session ready for the next message after a refusal, or unusable."""
        if isinstance(failure.answer, str) or failure.answer.code == _CLOSING:
            self.usable = False
            return
        self.messages += 1
        if failure.answer.lines:
            self.refused_in_a_row += 1
        if failure.phase is Phase.DOT or not failure.answer.lines:
            return  # the transaction is over, or was never begun
        try:
            self.usable = self._dialogue.command("RSET").code in _ACCEPTED
        except NoReplyError:
            self.usable = False


def _in_envelope(address: str) -> str | None:
    """Return *address* as MAIL and RCPT take it, or nothing where they could not."""
    try:
        wire = wire_address(address)
    except ValueError:
        return None
    return wire if _WIRE_ADDRESS.fullmatch(wire) else None
