"""Send a message through the transports of its route, and read what a window's replies say of those transports."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from mailer.claims import BreakerRow, Failures, TryMade
from mailer.classify import judge_reply
from mailer.delivery import goes_elsewhere
from mailer.meanings import Breaker, Judgement
from mailer.reply import OutgoingMessage, Phase, Reply, unanswered
from mailer.telemetry import logger


class Sender(Protocol):
    """What is asked of a transport."""

    @property
    def name(self) -> str:
        """Return what its breaker's row is called."""
        ...

    def send(self, message: OutgoingMessage) -> Reply:
        """Return what came of one attempt."""
        ...


@dataclass(frozen=True, slots=True)
class Made:
    """One transport's answer to one message, judged; *began* is monotonic.

    *cut_short* says that another transport would have been asked, had there been the time.
    """

    reply: Reply
    judgement: Judgement
    began: float
    cut_short: bool = False

    def kept(self, now: float) -> TryMade:
        """Return it as the attempt's row keeps it; *now* is monotonic."""
        reply = self.reply
        return TryMade(
            transport=reply.transport,
            phase=str(reply.phase),
            code=reply.code,
            enhanced=reply.enhanced,
            outcome=self.judgement.meaning.kind.value,
            detail=reply.text,
            seconds_ago=max(0.0, now - self.began),
        )


def send(message: OutgoingMessage, senders: Sequence[Sender], *, needs: float) -> tuple[Made, ...]:
    """Return what each of *senders* said, up to the first whose answer is not "ask somebody else".

    Another one is asked only while there are *needs* seconds left of the message's time, or all that it can take.
    """
    made: list[Made] = []
    for sender in senders:
        began = time.monotonic()
        if made and message.until is not None and began + _longest(sender, needs) > message.until:
            made[-1] = replace(made[-1], cut_short=True)
            break
        reply = _reply(sender, message)
        made.append(Made(reply, judge_reply(reply), began))
        if not goes_elsewhere(made[-1].judgement):
            break
    return tuple(made)


def _longest(sender: Sender, needs: float) -> float:
    longest: float = getattr(sender, "longest_attempt_seconds", needs)
    return min(longest, needs)


def _reply(sender: Sender, message: OutgoingMessage) -> Reply:
    try:
        return sender.send(message)
    except Exception as error:  # noqa: BLE001 - a transport may be anybody's; what it had done by then, nobody knows
        kind = type(error).__name__
        logger().error("mailer.transport.crashed", transport=sender.name, error=kind)
        text = f"the transport raised {kind}"
        return unanswered(sender.name, Phase.DOT, text=text, recipient=message.recipient)


def against(
    made: Iterable[Made], *, breakers: Mapping[str, BreakerRow], probing: str | None
) -> tuple[tuple[Failures, ...], tuple[str, ...]]:
    """Return which transports failed in a window, and which of those that were not plainly well have recovered.

    One good reply among failures means that the transport is there: a server that closes the ninth connection is not
    down. A probe that came to nothing opens the breaker again.
    """
    failed: dict[str, Failures] = {}
    good: set[str] = set()
    for one in made:
        name, effect = one.reply.transport, one.judgement.meaning.breaker
        if effect is Breaker.CLOSES or (effect is Breaker.UNTOUCHED and one.reply.answered):
            good.add(name)
        elif effect is not Breaker.UNTOUCHED:
            failed[name] = _counted(failed.get(name), one)
    if probing is not None and probing not in good and probing not in failed:
        failed[probing] = Failures(probing, 0, at_once=True, reason="a probe came to nothing")
    failures = [one for name, one in failed.items() if name not in good or one.at_once]
    recovered = good & set(breakers) - {one.transport for one in failures}
    return tuple(failures), tuple(sorted(recovered))


def _counted(before: Failures | None, one: Made) -> Failures:
    opens = one.judgement.meaning.breaker is Breaker.OPENS
    count, at_once = (before.count, before.at_once) if before else (0, False)
    return Failures(one.reply.transport, count + 1, at_once=at_once or opens, reason=one.judgement.meaning.reason)
